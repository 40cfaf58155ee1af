"""Which mirror Services stand here for the exported Services of another cluster (pure).

Only what carries our mark and the other cluster's name is ever written or deleted; a user's Service that has a
mirror's name is left alone (linkerd.md 5, A19), and a mirror that a split still sends traffic to is not deleted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from landbridge.agent import endpoints, names
from landbridge.agent.likeness import COPIED, KEPT, OURS, is_own, unit_of, wanted_mirrors
from landbridge.agent.links import Link
from landbridge.model.exports import is_flat
from landbridge.model.service import Manifest

Key = tuple[str, str]
"""Namespace and name of a Service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A mirror to make."""

    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A mirror to bring up to date, from exactly the version that was read."""

    namespace: str
    name: str
    patch: dict[str, Any]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A mirror whose Service is no longer exported."""

    namespace: str
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """An exported Service that gets no mirror, and why."""

    namespace: str
    name: str
    reason: str


Change = Create | Update | Delete | Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What a plan has to know of this cluster.

    `services` are all Services by (namespace, name), `namespaces` those in which mirrors may be, `in_use` the
    (namespace, backend) pairs that some split gives a weight above 0.
    """

    services: Mapping[Key, Manifest]
    namespaces: Collection[str]
    in_use: Collection[Key] = field(default_factory=frozenset)


def plan(
    link: Link, remote: Iterable[Manifest], here: Here, hostnames: Mapping[Key, Sequence[str]] | None = None
) -> list[Change]:
    """All changes that make the mirrors of one link right; nothing when they are.

    `remote` are the other cluster's exported Services, `hostnames` by (namespace, Service) the pods of headless ones.
    """
    wanted = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in remote}
    have: dict[Key, list[Manifest]] = {}
    for item in here.services.values():
        if is_own(item, link.cluster):
            have.setdefault(unit_of(item), []).append(item)
    changes: list[Change] = []
    for unit in sorted(wanted.keys() | have.keys()):
        names_of = (hostnames or {}).get(unit)
        changes += plan_one(link, wanted.get(unit), names_of, have.get(unit, ()), here)
    return changes


def plan_one(
    link: Link, service: Manifest | None, hostnames: Sequence[str] | None, have: Collection[Manifest], here: Here
) -> list[Change]:
    """The changes for one Service of the other cluster, None when it is not exported; `have` are its mirrors here.

    `hostnames` are its pods' if it is headless; None: nobody is behind it yet, so nobody knows how to mirror it.
    """
    changes: list[Change] = []
    if service and hostnames is None and not have and link.rules.headless and names.is_headless(service):
        meta = service["metadata"]
        return [Skip(namespace=meta["namespace"], name=meta["name"], reason="it is headless and nobody is behind it")]
    wanted = wanted_mirrors(link, service, hostnames or (), have) if service else []
    kept: set[str] = set()
    for manifest in wanted:
        assert service is not None
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        live = here.services.get((namespace, name))
        if reason := _refused(link, service, manifest, live, here.namespaces):
            changes.append(Skip(namespace=namespace, name=name, reason=reason))
        elif live is None:
            kept.add(name)
            changes.append(Create(manifest=manifest))
        elif names.is_headless(live) == names.is_headless(manifest):  # else: taken away first, it cannot change
            kept.add(name)
            changes += _update(live, manifest)
    return changes + [_farewell(item, here.in_use) for item in have if item["metadata"]["name"] not in kept]


def _refused(
    link: Link, service: Manifest, mirror: Manifest, live: Manifest | None, namespaces: Collection[str]
) -> str:
    if mirror["metadata"]["namespace"] not in namespaces:
        return "the namespace does not exist here, or does not move"
    if (service.get("spec") or {}).get("type") == "ExternalName":
        return "ExternalName Services are not mirrored"
    if not mirror["spec"]["ports"]:
        return "it has no ports"
    if not link.gateways and not is_flat(service):
        return "the link has no gateway, so only flat Services are mirrored"
    if live is not None and not is_own(live, link.cluster):
        return "a Service of that name is not ours"
    return ""


def _farewell(mirror: Manifest, in_use: Collection[Key]) -> Change:
    meta = mirror["metadata"]
    if (meta["namespace"], meta["name"]) in in_use:
        reason = "no longer exported, but a split still sends traffic there"
        return Skip(namespace=meta["namespace"], name=meta["name"], reason=reason)
    return Delete(namespace=meta["namespace"], name=meta["name"], version=meta["resourceVersion"])


def _update(have: Manifest, want: Manifest) -> list[Change]:
    """Nothing, or one patch: what is copied and ours as it should be; what others have added is left alone."""
    left = _taken(have), _taken(want)
    meta: dict[str, dict[str, str | None]] = {}
    for part in ("labels", "annotations"):
        present, wanted = have["metadata"].get(part) or {}, want["metadata"][part]
        changed: dict[str, str | None] = {key: value for key, value in wanted.items() if present.get(key) != value}
        no_more = OURS | (set(left[0].get(part, ())) - set(left[1].get(part, ())))
        if changed := changed | dict.fromkeys(sorted(no_more & present.keys() - wanted.keys())):
            meta[part] = changed
    spec: dict[str, Any] = {}
    live = have.get("spec") or {}
    if _ports(have) != _ports(want):
        spec["ports"] = want["spec"]["ports"]
    if live.get("selector"):
        spec["selector"] = None
    if live.get("type", "ClusterIP") != "ClusterIP":
        spec["type"] = "ClusterIP"
    if not meta and not spec:
        return []
    patch = ({"metadata": meta} if meta else {}) | ({"spec": spec} if spec else {})
    at = have["metadata"]
    return [Update(namespace=at["namespace"], name=at["name"], patch=patch, version=at["resourceVersion"])]


def _taken(mirror: Manifest) -> dict[str, list[str]]:
    try:
        found: dict[str, list[str]] = json.loads(names.annotation(mirror, COPIED) or "{}")
    except ValueError:
        return {}
    return found


def _ports(service: Manifest) -> list[tuple[str, ...]]:
    keys = (*KEPT, "targetPort")
    return sorted(tuple(str(port.get(key) or "") for key in keys) for port in endpoints.ports_of(service))
