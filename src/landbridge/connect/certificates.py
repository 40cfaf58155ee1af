"""The Secrets with a cluster's authority and leaves: made when missing, renewed when due, never printed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from landbridge.clients.answers import ConflictError
from landbridge.clients.kinds import SECRET
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect import identity, manifests, names
from landbridge.connect.identity import Authority
from landbridge.connect.link import decode, encode
from landbridge.model.service import Manifest

TRIES = 5


async def authority(k8s: Kubernetes) -> Authority:
    """The cluster's authority, made now when there is none."""
    found = await k8s.find(SECRET, names.CA, names.HOME)
    if found is None:
        made = identity.make_authority(k8s.name, now=k8s.clock.now())
        await k8s.create(authority_secret(made))
        return made
    return read_authority(found)


def read_authority(secret: Manifest) -> Authority:
    """What a Secret `landbridge-ca` holds."""
    return Authority(
        certificate=decode(secret, "tls.crt"),
        key=decode(secret, "tls.key"),
        previous=decode(secret, "previous.crt"),
        coming=decode(secret, "next.crt"),
    )


def authority_secret(made: Authority) -> Manifest:
    """The Secret of an authority."""
    data = {"tls.crt": encode(made.certificate), "tls.key": encode(made.key)}
    if made.previous:
        data["previous.crt"] = encode(made.previous)
    return manifests.secret(names.CA, names.HOME, data)


def places(namespaces: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Every (namespace, ServiceAccount) that needs a leaf."""
    return ((names.HOME, names.GATEWAY), *((namespace, names.WAYPOINT) for namespace in namespaces))


async def provide_leaf(k8s: Kubernetes, signer: Authority, trusted: bytes, namespace: str, account: str) -> bool:
    """A good leaf in a namespace, with what it trusts; whether anything had to be written.

    The leading agent renews the same leaves, also in the middle of a rotation: who comes second looks again.
    """
    for _ in range(TRIES - 1):
        with suppress(ConflictError):
            return await _provide(k8s, signer, trusted, namespace, account)
    return await _provide(k8s, signer, trusted, namespace, account)


async def _provide(k8s: Kubernetes, signer: Authority, trusted: bytes, namespace: str, account: str) -> bool:
    found = await k8s.find(SECRET, names.TLS, namespace)
    who = identity.spiffe(k8s.name, namespace, account)
    if found and not leaf_due(found, signer, trusted, who, now=k8s.clock.now()):
        return False
    leaf = identity.issue(signer, who, now=k8s.clock.now())
    data = {key: encode(value) for key, value in identity.tls_files(leaf, [trusted]).items()}
    if found:
        await k8s.patch(SECRET, names.TLS, {"data": data}, namespace, version=found["metadata"]["resourceVersion"])
    else:
        await k8s.create(manifests.secret(names.TLS, namespace, data, kind="kubernetes.io/tls"))
    return True


def leaf_due(secret: Manifest, signer: Authority, trusted: bytes, who: str, *, now: float) -> bool:
    """Whether a leaf has to be replaced: half its life is over, or issuer, identity or trust are not as wanted."""
    certificate = decode(secret, "tls.crt")
    return (
        identity.renewal_due(certificate, now=now)
        or not identity.issued_by(certificate, signer.certificate)
        or identity.identities(certificate) != (who,)
        or identity.bundle(decode(secret, "ca.crt")) != identity.bundle(trusted)
    )
