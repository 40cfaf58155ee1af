"""Replaces a cluster's certificate authority while traffic flows: trust both, new leaves, drop the old.

Where it stands is written in the Secret `landbridge-ca` itself, so a rotation that died goes on: `next.crt` is trusted
but signs nothing yet, `previous.crt` signed leaves that may still be in use. Between the steps every kubelet has to
have brought the new files to its pods; Envoy reads them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from landbridge.clients.kinds import SECRET
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect import certificates, identity, names
from landbridge.connect.connect import recorded
from landbridge.connect.identity import Authority
from landbridge.connect.link import decode, encode
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

PROPAGATION = 150.0  # seconds: a kubelet syncs Secret volumes within 90 s, plus its cache's 60 s

Progress = Callable[[str], None]


async def rotate(k8s: Kubernetes, other: Kubernetes, *, progress: Progress = lambda _: None) -> None:
    """Give the cluster `k8s` a new authority, which `other` learns to trust first. Takes about three PROPAGATIONs."""
    secret = await _authority(k8s)
    if not decode(secret, "previous.crt"):
        secret = await _begin(k8s, secret)
        await trust(other, k8s.name, certificates.read_authority(secret).trusted)
        progress(f"{other.name} trusts {k8s.name}'s old and new authority")
        await k8s.clock.sleep(PROPAGATION)
        secret = await _promote(k8s, secret)
    signer = certificates.read_authority(secret)
    await _issue(k8s, other, signer)
    progress(f"{k8s.name} has leaves of its new authority")
    await k8s.clock.sleep(PROPAGATION)
    await trust(other, k8s.name, signer.certificate)
    await _write(k8s, await _authority(k8s), {"previous.crt": None})
    progress(f"{other.name} trusts {k8s.name}'s new authority only")
    await k8s.clock.sleep(PROPAGATION)


async def trust(k8s: Kubernetes, other: str, bundle: bytes) -> None:
    """Make a cluster trust exactly this bundle of the other one's authorities."""
    _, namespaces = await recorded(k8s)
    places = [(names.link_name(other), names.HOME)]
    places += [(names.TLS, namespace) for namespace, _ in certificates.places(namespaces)]
    for name, namespace in places:
        await k8s.patch(SECRET, name, {"data": {"ca.crt": encode(bundle)}}, namespace)


async def _authority(k8s: Kubernetes) -> Manifest:
    found = await k8s.find(SECRET, names.CA, names.HOME)
    if found is None:
        raise LandbridgeError(f"{k8s.name} has no authority to replace", where=k8s.name, advice="run connect first")
    return found


async def _begin(k8s: Kubernetes, secret: Manifest) -> Manifest:
    """A next authority that signs nothing yet; one that was begun before is taken up."""
    if decode(secret, "next.crt"):
        return secret
    made = identity.make_authority(k8s.name, now=k8s.clock.now())
    return await _write(k8s, secret, {"next.crt": encode(made.certificate), "next.key": encode(made.key)})


async def _promote(k8s: Kubernetes, secret: Manifest) -> Manifest:
    data = secret["data"]
    promoted = {"tls.crt": data["next.crt"], "tls.key": data["next.key"], "previous.crt": data["tls.crt"]}
    return await _write(k8s, secret, promoted | {"next.crt": None, "next.key": None})


async def _issue(k8s: Kubernetes, other: Kubernetes, signer: Authority) -> None:
    _, namespaces = await recorded(k8s)
    theirs = certificates.read_authority(await _authority(other)).trusted
    for namespace, account in certificates.places(namespaces):
        await certificates.provide_leaf(k8s, signer, theirs, namespace, account)


async def _write(k8s: Kubernetes, secret: Manifest, data: dict[str, Any]) -> Manifest:
    version = secret["metadata"]["resourceVersion"]
    return await k8s.patch(SECRET, names.CA, {"data": data}, names.HOME, version=version)
