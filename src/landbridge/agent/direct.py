"""Slices of mirrors that do not point to a waypoint: headless ones, and flat ones (pure).

A headless mirror's endpoints are the mirrors of single pods, by their host names; a flat mirror's are the other
cluster's pods themselves, which have to be routable from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from landbridge.agent import endpoints, names, slices
from landbridge.clients.kinds import ENDPOINTSLICE
from landbridge.model.service import Manifest


def is_direct(mirror: Manifest) -> bool:
    """Whether a mirror needs no waypoint port."""
    return names.is_headless(mirror) or bool(names.label(mirror, names.REMOTE_DISCOVERY))


def headless(
    mirror: Manifest, pods: Iterable[Manifest], ready: Callable[[Manifest], bool | None]
) -> dict[str, Manifest] | None:
    """The slices of a headless mirror by name; `pods` are the mirrors of its pods. None while one was not asked for."""
    families: dict[str, list[dict[str, Any]]] = {}
    for pod in sorted(pods, key=lambda item: str(item["metadata"]["name"])):
        address = str((pod.get("spec") or {}).get("clusterIP") or "")
        answers = ready(pod)
        if answers is None or not address:
            return None
        hostname = names.remote_service(pod)[1].partition(".")[0]
        conditions = {"ready": answers, "serving": answers, "terminating": False}
        entry = {"addresses": [address], "hostname": hostname, "conditions": conditions}
        families.setdefault("IPv6" if ":" in address else "IPv4", []).append(entry)
    numbers = [
        {"name": port.get("name") or "", "port": port["port"], "protocol": port.get("protocol") or "TCP"}
        for port in endpoints.ports_of(mirror)
    ]
    made = {}
    for family, entries in families.items():
        name = names.slice_name(mirror["metadata"]["name"], family)
        made[name] = _slice(mirror, name, family, entries, numbers)
    return made


def flat(mirror: Manifest, remote: Iterable[Manifest]) -> dict[str, Manifest]:
    """The slices of a flat mirror by name: one for each of the other cluster's, with its pods and their ports."""
    wanted = {str(port.get("name") or "") for port in endpoints.ports_of(mirror)}
    made = {}
    for item in remote:
        mark = hashlib.sha256(item["metadata"]["name"].encode()).hexdigest()[:8]
        name = f"{mirror['metadata']['name']}-landbridge-{mark}"
        entries = [
            {
                "addresses": list(endpoint["addresses"]),
                "conditions": {"ready": True, "serving": True, "terminating": False},
                **({"hostname": endpoint["hostname"]} if endpoint.get("hostname") else {}),
            }
            for endpoint in item.get("endpoints") or ()
            if endpoints.is_ready(endpoint)
        ]
        numbers = [port for port in item.get("ports") or () if (port.get("name") or "") in wanted]
        if entries:
            made[name] = _slice(mirror, name, item.get("addressType") or "IPv4", entries, numbers)
    return made


def changes(have: Sequence[Manifest], want: Mapping[str, Manifest]) -> list[slices.Write]:
    """What has to be written so that exactly the wanted slices are there."""
    there = {item["metadata"]["name"]: item for item in have}
    found = [slices.diff(there.get(name), manifest) for name, manifest in want.items()]
    gone = [
        slices.Remove(namespace=item["metadata"]["namespace"], name=name, version=item["metadata"]["resourceVersion"])
        for name, item in there.items()
        if name not in want
    ]
    return [change for change in found if change is not None] + list(gone)


def _slice(
    mirror: Manifest, name: str, family: str, entries: list[dict[str, Any]], numbers: Sequence[Mapping[str, Any]]
) -> Manifest:
    meta = mirror["metadata"]
    labels = {
        names.SERVICE_NAME: meta["name"],
        names.SLICE_MANAGED_BY: names.SLICE_MANAGER,
        names.MANAGED_BY: "landbridge",
    }
    owner = {"apiVersion": "v1", "kind": "Service", "name": meta["name"], "uid": meta.get("uid") or ""}
    return {
        "apiVersion": ENDPOINTSLICE.api_version,
        "kind": ENDPOINTSLICE.kind,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": labels,
            "ownerReferences": [owner] if owner["uid"] else [],
        },
        "addressType": family,
        "endpoints": entries,
        "ports": [dict(port) for port in numbers],
    }
