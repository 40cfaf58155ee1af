"""Certificates of our own pods: renewed at half life, signed by the cluster's authority, trusting the other clusters'.

Rotation needs nothing more: a link's `ca.crt` holds the old and the new authority while both are trusted, so trust
comes first, and a leaf that another than the present authority signed is issued anew.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

import structlog

from landbridge.agent import names
from landbridge.agent.linkbook import LinkBook
from landbridge.agent.options import Options
from landbridge.clients.answers import ConflictError
from landbridge.clients.kubernetes import SECRET, Kubernetes
from landbridge.connect import identity
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

log = structlog.get_logger()
EVERY = 30.0


class Certificates:
    """Looks after the Secret `landbridge-tls` of the gateway's namespace and of each namespace with a waypoint."""

    def __init__(self, options: Options, k8s: Kubernetes, book: LinkBook) -> None:
        self._cluster = options.cluster
        self._k8s = k8s
        self._book = book
        self.problem = ""

    async def run(self, namespaces: Callable[[], Iterable[str]]) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look(namespaces())
                self.problem = ""
            except LandbridgeError as error:
                self.problem = error.what
            await self._k8s.clock.sleep(EVERY)

    async def look(self, namespaces: Iterable[str]) -> None:
        """Renew what is due, once."""
        secret = await self._k8s.find(SECRET, names.CA, names.NAMESPACE)
        if secret is None:
            self.problem = f"there is no Secret {names.CA}"
            return
        authority = identity.Authority(
            certificate=_datum(secret, "tls.crt"),
            key=_datum(secret, "tls.key"),
            previous=_datum(secret, "previous.crt"),
        )
        places = {names.NAMESPACE: names.GATEWAY} | dict.fromkeys(namespaces, names.WAYPOINT)
        for namespace, account in sorted(places.items()):
            if found := await self._k8s.find(SECRET, names.TLS, namespace):
                await self._renew(found, authority, identity.spiffe(self._cluster, namespace, account))

    async def _renew(self, secret: Manifest, authority: identity.Authority, who: str) -> None:
        want: dict[str, bytes] = {}
        trusted = self._book.trusted() if self._book.known else b""
        if trusted and identity.bundle(trusted) != _datum(secret, "ca.crt"):
            want["ca.crt"] = identity.bundle(trusted)
        now, leaf = self._k8s.clock.now(), _datum(secret, "tls.crt")
        if identity.renewal_due(leaf, now=now) or not identity.issued_by(leaf, authority.certificate):
            made = identity.issue(authority, who, now=now)
            want |= {"tls.crt": made.certificate, "tls.key": made.key}
        if not want:
            return
        data = {key: base64.b64encode(value).decode() for key, value in want.items()}
        meta = secret["metadata"]
        try:
            await self._k8s.patch(
                SECRET,
                meta["name"],
                {"data": data},
                meta["namespace"],
                version=meta["resourceVersion"],
                manager=names.MANAGER,
            )
            log.info("certificate renewed", namespace=meta["namespace"], what=sorted(want))
        except ConflictError:  # somebody was faster
            return


def _datum(secret: Manifest, key: str) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "")
    except ValueError:
        return b""
