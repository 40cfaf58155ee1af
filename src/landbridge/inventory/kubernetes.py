"""Reads a Kubernetes source and its target in one pass: every kind that is served, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from landbridge.clients.answers import ApiError, ForbiddenError, UnavailableError
from landbridge.clients.kinds import DAEMONSET, NAMESPACE, NODE, POD, Kind
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clients.linkerd import detect
from landbridge.errors import AccessError, LandbridgeError
from landbridge.garbage import resting
from landbridge.inventory.graph import find_edges
from landbridge.inventory.objects import find_version, is_ours
from landbridge.inventory.owners import owners_of
from landbridge.inventory.platform import find_features, read_node, used
from landbridge.inventory.reading import Reading
from landbridge.inventory.services import find_services, find_workloads
from landbridge.model.inventory import Inventory, Owner, Platform
from landbridge.model.journal import Receipt
from landbridge.model.manifest import RUNNING, name_of, namespace_of, subject
from landbridge.model.service import Manifest, Side, Workload

Served = Mapping[tuple[str, str], Sequence[Kind]]

AT_ONCE = 8  # lists in flight; a client has 32 connections to keep alive
FEW_NAMESPACES = 4  # up to here namespaces are listed one by one, which needs fewer rights and moves less
NOISE = frozenset({"Event", "ComponentStatus", "Lease", "PodMetrics", "NodeMetrics", "IPAddress", "CSINode"})
"""Kinds that say nothing about a migration and change every second."""
NEEDED = frozenset({"Service", "ConfigMap", "Secret", "Deployment", "ServiceAccount"})
"""Kinds without which there is nothing to assess: a refusal to list them ends the inventory."""
TARGET_WIDE = frozenset(
    {
        "Namespace",
        "StorageClass",
        "IngressClass",
        "PriorityClass",
        "RuntimeClass",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ClusterRole",
        "ClusterRoleBinding",
    }
)
"""What checks ask of the target beside the objects in the namespaces that move."""


class KubernetesSource:
    """A Kubernetes cluster to move away from, beside the one to move to."""

    def __init__(self, source: Kubernetes, target: Kubernetes, namespaces: Sequence[str]) -> None:
        self._source = source
        self._target = target
        self._namespaces = tuple(sorted(set(namespaces)))
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._notes: list[str] = []

    async def collect(self) -> Inventory:
        """Both clusters; Secrets without their values. The garbage collector leaves alone what was read."""
        with resting():
            return await self._collect()

    async def _collect(self) -> Inventory:
        self._notes = []
        here, there = await asyncio.gather(self._source.served(), self._target.served())
        kinds, moving = _common(here, there), frozenset(self._namespaces)
        old, new = Reading(moving, _written), Reading(moving, is_ours)
        (objects, existing), (source_nodes, target_nodes, daemons, pods), versions, meshes = await asyncio.gather(
            asyncio.gather(
                self._list_all(self._source, kinds, old, self._namespaces),
                self._list_target(_for_target(there, kinds), new),
            ),
            asyncio.gather(
                self._list(self._source, NODE, ""),
                *(self._list(self._target, kind, "") for kind in (NODE, DAEMONSET, POD)),
            ),
            asyncio.gather(self._source.version(), self._target.version()),
            asyncio.gather(detect(self._source), detect(self._target)),
        )
        told = old.seal(objects)
        workloads = find_workloads(objects)
        services = find_services(objects, workloads)
        return Inventory(
            source=Platform(
                name=self._source.name,
                context=self._source.context.name,
                version=versions[0],
                served=_versions(here),
                nodes=tuple(read_node(node) for node in source_nodes),
                linkerd=meshes[0],
                objects=tuple(objects),
            ),
            target=Platform(
                name=self._target.name,
                context=self._target.context.name,
                version=versions[1],
                served=_versions(there),
                nodes=tuple(read_node(node) for node in target_nodes),
                linkerd=meshes[1],
                features=find_features(_versions(there), daemons),
                objects=tuple(existing),
            ),
            workloads=workloads,
            services=services,
            edges=find_edges(objects, services, workloads),
            owners=tuple(owner for _, (owners, _) in told for owner in owners),
            notes=tuple(sorted(self._notes)),
            extra={
                "applied": {subject(item): version for item, (_, version) in told if version},
                "ours": [subject(item) for item, _ in new.seal(existing)],
                "used": used(pods),
            },
        )

    async def scale(self, workload: Workload, replicas: int) -> Receipt:
        """Set the size of a workload through its scale subresource."""
        ref = workload.ref
        kind = await self._source.kind_of({"apiVersion": ref.api_version, "kind": ref.kind})
        now = await self._source.get(kind, ref.name, ref.namespace)
        prior = {"spec": {"replicas": (now.get("spec") or {}).get("replicas")}}
        await self._source.scale(kind, ref.name, ref.namespace, replicas)
        return Receipt(side=Side.SOURCE, ref=ref, prior=prior, version=now["metadata"]["resourceVersion"])

    async def _list_target(self, kinds: Iterable[Kind], reading: Reading[Any]) -> list[Manifest]:
        """Of the namespaces only those that are there: a target that is still empty is not asked for forty kinds."""
        async with self._limit:
            try:
                there = {name_of(item) for item in await self._target.list(NAMESPACE)}
            except ForbiddenError:
                there = set(self._namespaces)
        return await self._list_all(self._target, kinds, reading, [name for name in self._namespaces if name in there])

    async def _list_all(
        self, k8s: Kubernetes, kinds: Iterable[Kind], reading: Reading[Any], namespaces: Sequence[str]
    ) -> list[Manifest]:
        """All objects of all kinds, each object once however many API groups serve it."""
        places = namespaces if len(namespaces) <= FEW_NAMESPACES else ("",)
        asked = [(kind, place) for kind in kinds for place in (places if kind.namespaced else ("",))]
        # Workloads are many and big, and page follows page: begun last, they would be waited for alone.
        asked.sort(key=lambda one: one[0].kind not in RUNNING)
        pages = await asyncio.gather(*(self._list(k8s, kind, space, reading.take) for kind, space in asked))
        found = list(reading.distinct(pages))
        found.sort(key=lambda item: (namespace_of(item), item["kind"], item["metadata"]["name"]))
        return found

    async def _list(
        self, k8s: Kubernetes, kind: Kind, namespace: str, keep: Callable[[Manifest], Manifest] | None = None
    ) -> list[Manifest]:
        async with self._limit:
            try:
                return (await k8s.list_at(kind, namespace, keep=keep))[0]
            except (ForbiddenError, UnavailableError, ApiError) as error:
                if kind.kind in NEEDED or (not isinstance(error, ForbiddenError | ApiError) and not kind.group):
                    raise _missing(error, kind, k8s.name) from error
                self._notes.append(f"{k8s.name}: {kind.resource} could not be listed: {error.what}")
                return []


def _written(item: Manifest) -> tuple[tuple[Owner, ...], str] | None:
    """By whom an object is written, and at which version, where that says something."""
    owners, version = tuple(owners_of(item)), find_version(item)
    return (owners, version) if owners or version else None


def _missing(error: LandbridgeError, kind: Kind, cluster: str) -> LandbridgeError:
    if isinstance(error, ForbiddenError):
        return AccessError(
            f"no permission to list {kind.resource} in {cluster!r}",
            where=cluster,
            advice=f"grant the verb list on {kind.resource}; docs/permissions.md has the role",
        )
    return error


def _common(here: Served, there: Served) -> list[Kind]:
    """Each kind of the source that can be listed, at a version that the target serves where there is one."""
    chosen: list[Kind] = []
    for key, versions in sorted(here.items(), key=lambda entry: (entry[0][0] == "extensions", entry[0])):
        if key[1] in NOISE:
            continue
        theirs = {kind.api_version for kind in there.get(key, ())}
        both = [kind for kind in versions if kind.api_version in theirs]
        kind = (both or list(versions))[0]
        if "list" in kind.verbs:
            chosen.append(kind)
    return chosen


def _for_target(there: Served, kinds: Iterable[Kind]) -> list[Kind]:
    """What is read of the target: classes and definitions, and the kinds that may meet an object of ours."""
    ours = {(kind.group, kind.kind) for kind in kinds if kind.namespaced}
    found = [versions[0] for key, versions in sorted(there.items()) if key in ours or key[1] in TARGET_WIDE]
    return [kind for kind in found if "list" in kind.verbs]


def _versions(served: Served) -> dict[str, tuple[str, ...]]:
    """`group/Kind` (the core group is empty: `/Service`) to the versions served, the preferred one first."""
    return {
        f"{group}/{kind}": tuple(found.api_version.rpartition("/")[2] for found in versions)
        for (group, kind), versions in sorted(served.items())
    }
