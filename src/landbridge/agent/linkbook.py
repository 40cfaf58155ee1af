"""The links of this cluster, read again and again from their Secrets, by name: listing Secrets is no right of ours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from landbridge.agent import names
from landbridge.agent.links import Link, read
from landbridge.clients.kubeconfig import Context, load
from landbridge.clients.kubernetes import SECRET, Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

POLL_SECONDS = 3.0
REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


class LinkBook:
    """`links` as last read; `known` is False until every Secret was read once. `named` are the other clusters' names;
    when empty they are found among the Secrets that our own role names.
    """

    def __init__(self, k8s: Kubernetes, named: Sequence[str]) -> None:
        self._k8s = k8s
        self._named = tuple(named)
        self._secrets: dict[str, Manifest] = {}
        self.links: dict[str, Link] = {}
        self.known = False
        self.problem = ""

    async def poll(self) -> bool:
        """Read all Secrets once; True when something changed. What cannot be read is no news."""
        before = (self.known, {cluster: self.version(cluster) for cluster in self._secrets})
        try:
            for cluster in self._named or await self._review():
                name = names.LINK + cluster
                secret = await self._k8s.find(SECRET, name, names.NAMESPACE)
                if secret is None:
                    self._secrets.pop(cluster, None)
                else:
                    self._secrets[cluster] = secret
            self.known, self.problem = True, ""
        except LandbridgeError as error:
            self.problem = error.what
        found = {cluster: read(secret) for cluster, secret in self._secrets.items()}
        self.links = {cluster: link for cluster, link in found.items() if link is not None}
        return before != (self.known, {cluster: self.version(cluster) for cluster in self._secrets})

    def trusted(self) -> bytes:
        """The authorities of all other clusters, one PEM text."""
        return b"".join(_datum(secret, "ca.crt") for _, secret in sorted(self._secrets.items()))

    def context(self, cluster: str) -> Context | None:
        """How the other cluster's API server is reached; None when the Secret has no usable kubeconfig."""
        text = _datum(self._secrets.get(cluster, {}), "kubeconfig")
        if not text:
            return None
        with TemporaryDirectory() as folder:  # the loader reads files; the folder is ours alone and gone at once
            file = Path(folder) / "kubeconfig"
            file.write_bytes(text)
            try:
                return load(file).context()
            except LandbridgeError as error:
                self.problem = error.what
                return None

    def version(self, cluster: str) -> str:
        """A digest of a link's content: a label or an annotation of its Secret is no change of the link."""
        data = self._secrets.get(cluster, {}).get("data") or {}
        return hashlib.sha256(repr(sorted(data.items())).encode()).hexdigest()

    async def _review(self) -> list[str]:
        """The clusters whose link Secret our role names, by SelfSubjectRulesReview."""
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": names.NAMESPACE},
        }
        answer = (await self._k8s.request("POST", REVIEW, content=body)).json()
        rules = (answer.get("status") or {}).get("resourceRules") or ()
        found = {
            name
            for rule in rules
            if "secrets" in (rule.get("resources") or ()) and "get" in (rule.get("verbs") or ())
            for name in rule.get("resourceNames") or ()
        }
        return sorted(name.removeprefix(names.LINK) for name in found if name.startswith(names.LINK))


def _datum(secret: Manifest, key: str) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "")
    except ValueError:
        return b""
