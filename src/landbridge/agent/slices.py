"""Our EndpointSlices: the waypoint pods in place of a Service's endpoints (pure, and one small writer).

An empty slice is never written: while no waypoint is ready the last one is held. Whoever is not ready or terminates
leaves first. Several writers are harmless: every write is a merge patch on the resourceVersion that was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from landbridge.agent import endpoints, names, ports
from landbridge.clients.answers import ConflictError, NotFoundError
from landbridge.clients.kubernetes import ENDPOINTSLICE, Kubernetes
from landbridge.model.service import Manifest

FAMILIES = ("IPv4", "IPv6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A waypoint pod as a slice needs it; `ready` is False from the moment that it begins to end."""

    name: str
    namespace: str
    uid: str
    node: str
    ready: bool
    addresses: tuple[str, ...]

    def address(self, family: str) -> str:
        """Its address of a family, empty when it has none."""
        return next((item for item in self.addresses if (":" in item) == (family == "IPv6")), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A slice that has to be made."""

    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """A slice that has to change, from exactly the version that was read."""

    namespace: str
    name: str
    patch: dict[str, Any]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """A slice of ours that has to go."""

    namespace: str
    name: str
    version: str


Write = Create | Patch | Remove


def pod(manifest: Manifest) -> Pod:
    """Read a pod's manifest."""
    meta, status = manifest["metadata"], manifest.get("status") or {}
    conditions = {item["type"]: item["status"] for item in status.get("conditions") or ()}
    addresses = [item["ip"] for item in status.get("podIPs") or ()] or [status.get("podIP") or ""]
    return Pod(
        name=meta["name"],
        namespace=meta.get("namespace") or "",
        uid=meta.get("uid") or "",
        node=(manifest.get("spec") or {}).get("nodeName") or "",
        ready=conditions.get("Ready") == "True" and not meta.get("deletionTimestamp"),
        addresses=tuple(item for item in addresses if item),
    )


def wanted(
    service: Manifest,
    pods: Iterable[Pod],
    listen: ports.Allocations,
    family: str,
    *,
    ready: bool = True,
    note: str = "",
) -> Manifest | None:
    """The slice of a Service (an apex or a mirror) that points to waypoint pods; None: hold, there is none ready.

    Every port of the Service must have its waypoint port in `listen`, else None. `ready` is what the slice says of
    the far end (a mirror whose other side is dead is not ready); `note` is the remote's number of ready endpoints.
    """
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    entries = [_endpoint(item, family, ready) for item in sorted(pods, key=lambda item: item.name) if item.ready]
    entries = [item for item in entries if item["addresses"]]
    numbers = [_port(port, name, listen) for port in endpoints.ports_of(service)]
    if not entries or not numbers or not all(item["port"] for item in numbers):
        return None
    labels = {
        names.SERVICE_NAME: name,
        names.SLICE_MANAGED_BY: names.SLICE_MANAGER,
        names.MANAGED_BY: "landbridge",
    }
    owner = {"apiVersion": "v1", "kind": "Service", "name": name, "uid": service["metadata"].get("uid") or ""}
    return {
        "apiVersion": ENDPOINTSLICE.api_version,
        "kind": ENDPOINTSLICE.kind,
        "metadata": {
            "name": names.slice_name(name, family),
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [owner] if owner["uid"] else [],
            **({"annotations": {names.REMOTE_READY: note}} if note else {}),
        },
        "addressType": family,
        "endpoints": entries,
        "ports": numbers,
    }


def diff(have: Manifest | None, want: Manifest | None) -> Write | None:
    """What has to be written so that `have` becomes `want`; None when nothing, or when the last one is held."""
    if want is None:
        return None
    if have is None:
        return Create(manifest=want)
    if _content(have) == _content(want):
        return None
    meta = {key: want["metadata"][key] for key in ("labels", "annotations") if key in want["metadata"]}
    return Patch(
        namespace=have["metadata"]["namespace"],
        name=have["metadata"]["name"],
        patch={"metadata": meta, "endpoints": want["endpoints"], "ports": want["ports"]},
        version=have["metadata"]["resourceVersion"],
    )


def release(service: str, slices: Sequence[Manifest]) -> list[Write]:
    """Take our slices of a Service away, but only while others keep it answered; else hold."""
    own = [item for item in slices if names.ours(item)]
    if not endpoints.addresses(endpoints.foreign(slices)):
        return []
    return [
        Remove(
            namespace=item["metadata"]["namespace"],
            name=item["metadata"]["name"],
            version=item["metadata"]["resourceVersion"],
        )
        for item in own
        if names.label(item, names.SERVICE_NAME) == service
    ]


def held(slices: Iterable[Manifest]) -> dict[str, frozenset[int]]:
    """Address to waypoint ports, from slices that are there: what an earlier leader had confirmed."""
    found: dict[str, set[int]] = {}
    for item in slices:
        numbers = {int(entry["port"]) for entry in item.get("ports") or () if entry.get("port")}
        for endpoint in item.get("endpoints") or ():
            for address in endpoint.get("addresses") or ():
                found.setdefault(address, set()).update(numbers)
    return {address: frozenset(numbers) for address, numbers in found.items()}


async def write(k8s: Kubernetes, item: Write) -> bool:
    """Carry one write out. False when somebody was faster: that is harmless, the next look decides again."""
    try:
        match item:
            case Create(manifest=manifest):
                await k8s.create(manifest, manager=names.MANAGER)
            case Patch(namespace=namespace, name=name, patch=patch, version=version):
                await k8s.patch(ENDPOINTSLICE, name, patch, namespace, version=version, manager=names.MANAGER)
            case Remove(namespace=namespace, name=name, version=version):
                await k8s.delete(ENDPOINTSLICE, name, namespace, version=version)
    except (ConflictError, NotFoundError):
        return False
    return True


def _endpoint(item: Pod, family: str, ready: bool) -> dict[str, Any]:
    address = item.address(family)
    return {
        "addresses": [address] if address else [],
        "conditions": {"ready": ready, "serving": ready, "terminating": False},
        **({"nodeName": item.node} if item.node else {}),
        "targetRef": {"kind": "Pod", "name": item.name, "namespace": item.namespace, "uid": item.uid},
    }


def _port(port: Any, service: str, listen: ports.Allocations) -> dict[str, Any]:
    transport = str(port.get("protocol") or "TCP")
    found = listen.get(f"{service}.{port['port']}.{transport.lower()}")
    entry = {"name": port.get("name") or "", "port": found.listen if found else 0, "protocol": transport}
    return entry | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def _content(item: Manifest) -> tuple[Any, ...]:
    """What makes two slices the same, in any order of endpoints and ports and with the API's defaults filled in."""
    entries = [
        (
            tuple(endpoint.get("addresses") or ()),
            (endpoint.get("conditions") or {}).get("ready"),
            endpoint.get("nodeName") or "",
            (endpoint.get("targetRef") or {}).get("uid") or "",
            endpoint.get("hostname") or "",
        )
        for endpoint in item.get("endpoints") or ()
    ]
    numbers = [
        (port.get("name") or "", port.get("port"), port.get("protocol") or "TCP", port.get("appProtocol") or "")
        for port in item.get("ports") or ()
    ]
    labels = {key: names.label(item, key) for key in (names.SERVICE_NAME, names.SLICE_MANAGED_BY, names.MANAGED_BY)}
    return sorted(entries), sorted(numbers), labels, names.annotation(item, names.REMOTE_READY)
