"""Kubeconfigs as people have them: several files, exec plugins, token files, proxies, a ServiceAccount."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from landbridge.errors import AccessError, DocumentError, Mistake

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "in-cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One way to reach one cluster: the kubeconfig's own fields, file names made absolute.

    `cluster` and `user` hold what the kubeconfig's entries of that name hold; `user` may carry secrets and so has
    no place in any message.
    """

    name: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any] = field(repr=False)
    namespace: str = "default"
    user_name: str = ""

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self.cluster["server"]).rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """All contexts that the user's files hold."""

    contexts: Mapping[str, Context]
    current: str = ""
    files: tuple[str, ...] = ()
    """Where it was looked for, whether or not there was anything."""

    def context(self, name: str = "") -> Context:
        """The context of that name, or the current one; AccessError lists the known ones."""
        wanted = name or self.current
        if found := self.contexts.get(wanted):
            return found
        known = ", ".join(sorted(self.contexts)) or "none"
        near = get_close_matches(wanted, list(self.contexts), 1)
        advice = f"did you mean {near[0]!r}? " if near else ""
        where = os.pathsep.join(self.files) or "KUBECONFIG"
        if not self.contexts:
            raise AccessError(
                f"there is no context {wanted!r}: your kubeconfig has none at all",
                where=where,
                advice="name the right file by KUBECONFIG, or by `kubeconfig` in migration.yaml",
            )
        raise AccessError(
            f"there is no context {wanted!r} in your kubeconfig",
            where=where,
            advice=f"{advice}known contexts: {known}",
        )


def load(paths: str | Path | None = None) -> Kubeconfig:
    """Read kubeconfig files as kubectl does: `paths` or $KUBECONFIG (colon separated), else ~/.kube/config.

    The first file that names a thing wins. Without any file, inside a cluster, the ServiceAccount is the context
    `in-cluster`. Raises DocumentError for a file that cannot be used.
    """
    text = str(paths or os.environ.get("KUBECONFIG") or "")
    explicit = [Path(part).expanduser() for part in text.split(os.pathsep) if part]
    files = explicit or [Path("~/.kube/config").expanduser()]
    clusters: dict[str, Any] = {}
    users: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    current = ""
    for file in files:
        document = _read(file, required=bool(paths))
        for name, entry in _entries(document, "clusters", "cluster", file):
            clusters.setdefault(name, entry)
        for name, entry in _entries(document, "users", "user", file):
            users.setdefault(name, entry)
        for name, entry in _entries(document, "contexts", "context", file):
            raw.setdefault(name, entry)
        current = current or document.get("current-context") or ""
    contexts = {name: _context(name, entry, clusters, users) for name, entry in raw.items()}
    if not contexts and (SERVICE_ACCOUNT / "token").exists():
        return Kubeconfig(contexts={IN_CLUSTER: in_cluster()}, current=IN_CLUSTER)
    return Kubeconfig(contexts=contexts, current=current, files=tuple(map(str, files)))


def in_cluster() -> Context:
    """The context of the ServiceAccount that this pod runs as."""
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    namespace = SERVICE_ACCOUNT / "namespace"
    cluster = {"server": f"https://{host}:{port}", "certificate-authority": str(SERVICE_ACCOUNT / "ca.crt")}
    return Context(
        name=IN_CLUSTER,
        cluster={**cluster, "disable-compression": True},  # near: packing a list costs the API server more than sending
        user={"tokenFile": str(SERVICE_ACCOUNT / "token")},
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
        user_name="serviceaccount",
    )


def _read(file: Path, *, required: bool) -> dict[str, Any]:
    try:
        document = yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        if not required:
            return {}
        raise DocumentError("this kubeconfig does not exist", where=str(file), advice="check the path") from None
    except OSError as error:
        advice = "see that you may read it, and that KUBECONFIG or `kubeconfig` in migration.yaml names a file"
        raise DocumentError(
            f"this kubeconfig cannot be read: {error.strerror}", where=str(file), advice=advice
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        mistake = Mistake(file=str(file), line=mark.line + 1 if mark else None, path="", message="is not YAML")
        raise DocumentError("this kubeconfig is not YAML", [mistake], where=str(file)) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise DocumentError("this kubeconfig is not a mapping", where=str(file))
    return document


def _entries(document: dict[str, Any], section: str, key: str, file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in document.get(section) or []:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise DocumentError(f"an entry of {section} has no name", where=str(file))
        yield item["name"], _absolute(dict(item.get(key) or {}), file.parent)


def _absolute(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
        if value := entry.get(key):
            entry[key] = str(folder / Path(value).expanduser())
    command = (entry.get("exec") or {}).get("command", "")
    if "/" in command and not command.startswith("/"):
        entry["exec"] = {**entry["exec"], "command": str(folder / command)}
    return entry


def _context(name: str, entry: dict[str, Any], clusters: dict[str, Any], users: dict[str, Any]) -> Context:
    cluster, user = entry.get("cluster", ""), entry.get("user", "")
    return Context(
        name=name,
        cluster=clusters.get(cluster) or {"missing": cluster},
        user=users.get(user) or ({"missing": user} if user else {}),
        namespace=entry.get("namespace") or "default",
        user_name=user,
    )
