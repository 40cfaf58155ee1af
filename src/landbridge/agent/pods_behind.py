"""Who is behind the Services of the other cluster, as its EndpointSlices say: whether anybody, and which host names.

Of an adopted Service the leaf's pods count, never the waypoints that stand in for them (pure).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from landbridge.agent import endpoints, names
from landbridge.model.service import Manifest

Key = tuple[str, str]
HEADLESS = "service.kubernetes.io/headless"
_LABELS = (names.SERVICE_NAME, names.SLICE_MANAGED_BY, names.EXPORTED, HEADLESS)


def small(item: Manifest) -> Manifest:
    """A slice as it is kept: addresses only where somebody needs them."""
    meta = item["metadata"]
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key in _LABELS}
    kept = {"metadata": {key: meta[key] for key in ("name", "namespace", "resourceVersion")} | {"labels": labels}}
    if names.ours(item):
        return kept | {"ready": False}
    if HEADLESS in labels or labels.get(names.EXPORTED, "true") != "true":
        return kept | {key: item.get(key) for key in ("addressType", "endpoints", "ports")}
    return kept | {"ready": bool(endpoints.addresses([item]))}


class Behind:
    """The slices of one cluster, by Service."""

    def __init__(self) -> None:
        self._slices: dict[Key, dict[str, Manifest]] = {}

    def put(self, event: str, item: Manifest) -> list[Key]:
        """Take note of a slice that came, changed or went; returns the Services that this may concern."""
        meta = item["metadata"]
        name = names.label(item, names.SERVICE_NAME)
        if not name:
            return []
        key = (meta["namespace"], name)
        found = self._slices.setdefault(key, {})
        before = set(_hostnames(found.values()))
        if event == "DELETED":
            found.pop(meta["name"], None)
        else:
            found[meta["name"]] = item
        pods = before | set(_hostnames(found.values()))
        apex = (key[0], name.removesuffix("-leaf"))
        return [*dict.fromkeys((key, apex)), *((key[0], f"{pod}.{name}") for pod in sorted(pods))]

    def ready(self, key: Key) -> bool | None:
        """Whether anybody is ready behind a Service, or is a pod of it by host name; None when nothing is known."""
        pod, dot, service = key[1].partition(".")
        if dot:
            found = self._slices.get((key[0], service), {}).values()
            return pod in _hostnames(found, ready=True) if found else None
        slices = [*self._slices.get(key, {}).values(), *self._slices.get((key[0], f"{key[1]}-leaf"), {}).values()]
        return any(_is_ready(item) for item in slices) if slices else None

    def hostnames(self, key: Key) -> Sequence[str] | None:
        """The host names of a Service's pods, ready or not: one that starts again keeps its name. None without pods."""
        found = self._slices.get(key, {}).values()
        return sorted(set(_hostnames(found))) if any(item.get("endpoints") for item in found) else None

    def slices(self, key: Key) -> list[Manifest]:
        """The slices of a Service that an agent did not write."""
        return endpoints.foreign(self._slices.get(key, {}).values())

    def matters(self, key: Key) -> bool:
        """Whether the mirrors themselves depend on who is behind a Service, and not only their readiness."""
        return "." not in key[1] and any("endpoints" in item for item in self._slices.get(key, {}).values())


def _hostnames(slices: Iterable[Manifest], *, ready: bool = False) -> list[str]:
    return [
        str(endpoint["hostname"])
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if endpoint.get("hostname") and (not ready or endpoints.is_ready(endpoint))
    ]


def _is_ready(item: Manifest) -> bool:
    return bool(endpoints.addresses([item])) if "endpoints" in item else bool(item.get("ready"))
