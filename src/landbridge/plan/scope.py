"""What moves, and how: services by traffic, workers by stopping and starting, everything else by being copied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from landbridge.assess.capacity import size
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Service
from landbridge.model.manifest import NONE, RUNNING, is_owned, kind_of, name_of, namespace_of, subject, text_of
from landbridge.model.record import record
from landbridge.model.service import Manifest, ObjectRef, ServiceId
from landbridge.plan.order import components
from landbridge.translate.drop import dropped
from landbridge.translate.kubernetes import order

_OWN_STEP = RUNNING | {"Pod", "HorizontalPodAutoscaler"}
"""Kinds that are not copied with a namespace: they have acts of their own, or belong to a cluster."""
_BUILT_IN_ROLES = ("system:", "cluster-admin", "admin", "edit", "view")


@record(frozen=True, slots=True, kw_only=True)
class Mover:
    """A workload to copy: its object, how many pods it wants, and the autoscalers on it."""

    ref: ObjectRef
    replicas: int
    scalers: tuple[ObjectRef, ...] = ()

    @property
    def objects(self) -> list[str]:
        """What is copied with it, as plans write it."""
        return [text_of(self.ref), *map(text_of, self.scalers)]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The facts, read as a plan needs them. Everything is sorted, so that the order of the input does not matter."""

    facts: Facts

    @cached_property
    def joined(self) -> tuple[Service, ...]:
        """Services that are adopted on both sides: also those that stay, for moved callers have to reach them."""
        answered = self.facts.answered
        found = [
            service
            for service, _ in self.facts.services
            if service.id not in self.facts.refusals and (service.workloads or service.id in answered)
        ]
        return tuple(sorted(found, key=lambda service: service.id))

    @cached_property
    def moving(self) -> tuple[Service, ...]:
        """Those of them whose traffic moves."""
        skips = self.facts.migration.service
        return tuple(service for service in self.joined if service.workloads and not skips(service.id).skip)

    @cached_property
    def movers(self) -> Mapping[ObjectRef, Mover]:
        """Every workload that keeps pods running and moves; DaemonSets belong to a cluster."""
        scalers = self._scalers()
        return {
            (ref := ObjectRef.of(item)): Mover(
                ref=ref, replicas=size(item), scalers=scalers.get((ref.kind, ref.namespace, ref.name), ())
            )
            for item, _ in self.facts.running
            if item["kind"] != "DaemonSet" and dropped(item) is None and not self.excluded(item)
        }

    def _scalers(self) -> Mapping[tuple[str, str, str], tuple[ObjectRef, ...]]:
        found: dict[tuple[str, str, str], list[ObjectRef]] = defaultdict(list)
        for item in self.facts.each("HorizontalPodAutoscaler"):
            target = (item.get("spec") or NONE).get("scaleTargetRef") or NONE
            if not is_owned(item) and not self.excluded(item):
                key = (target.get("kind", ""), namespace_of(item), target.get("name", ""))
                found[key].append(ObjectRef.of(item))
        return {key: tuple(sorted(refs)) for key, refs in found.items()}

    @cached_property
    def groups(self) -> Mapping[ServiceId, tuple[ServiceId, ...]]:
        """The services in front of the same workloads, by the first of them, which plans for all."""
        fronts: dict[ObjectRef, list[ServiceId]] = defaultdict(list)
        for service in self.moving:
            for ref in service.workloads:
                fronts[ref].append(service.id)
        near: dict[ServiceId, set[ServiceId]] = defaultdict(set)
        for sharing in fronts.values():
            for service_id in sharing[1:]:
                near[sharing[0]].add(service_id)
                near[service_id].add(sharing[0])
        head_of = components(near)
        found: dict[ServiceId, list[ServiceId]] = defaultdict(list)
        for service in self.moving:
            found[head_of.get(service.id, service.id)].append(service.id)
        return {head: tuple(sorted(members)) for head, members in sorted(found.items())}

    @cached_property
    def _behind(self) -> Mapping[ServiceId, tuple[Mover, ...]]:
        movers = self.movers
        return {
            service.id: tuple(movers[ref] for ref in sorted(service.workloads) if ref in movers)
            for service in self.moving
        }

    def workloads(self, services: Sequence[ServiceId]) -> tuple[Mover, ...]:
        """The movers behind some services."""
        if len(services) == 1:
            return self._behind.get(services[0], ())
        found = {mover.ref: mover for service in services for mover in self._behind.get(service, ())}
        return tuple(mover for _, mover in sorted(found.items()))

    @cached_property
    def workers(self) -> Mapping[str, tuple[Mover, ...]]:
        """Movers behind no service whose traffic is divided, by namespace."""
        behind = {ref for service in self.joined for ref in service.workloads}
        found: dict[str, list[Mover]] = defaultdict(list)
        for ref, mover in sorted(self.movers.items()):
            if ref not in behind:
                found[ref.namespace].append(mover)
        return {namespace: tuple(movers) for namespace, movers in found.items()}

    @cached_property
    def copies(self) -> Mapping[str, list[str]]:
        """What is copied with each namespace: everything but workloads, their autoscalers and adopted Services."""
        adopted = {service.id for service in self.joined}
        stays = {name for name, settings in self.facts.migration.services.items() if settings.skip}
        found: dict[str, list[ObjectRef]] = {name: [] for name in sorted(set(self.facts.migration.namespaces))}
        for item in self.facts.inventory.source.objects:
            kind = kind_of(item)
            namespace = name_of(item) if kind == "Namespace" else namespace_of(item)
            if namespace not in found or kind in _OWN_STEP:
                continue
            if kind == "Service":
                service = ServiceId(namespace, name_of(item))
                if service in adopted or str(service) in stays:
                    continue
            if dropped(item) is None and not self.excluded(item) and not self._stays(item):
                found[namespace].append(ObjectRef.of(item))
        return {namespace: _in_order(refs) for namespace, refs in found.items()}

    @cached_property
    def cluster_wide(self) -> list[str]:
        """Cluster roles that ServiceAccounts of the namespaces are bound to, with the bindings."""
        spaces, refs, roles = set(self.facts.migration.namespaces), set(), set()
        for item in self.facts.each("ClusterRoleBinding"):
            subjects = item.get("subjects") or ()
            ours = any(s.get("kind") == "ServiceAccount" and s.get("namespace") in spaces for s in subjects)
            if ours and dropped(item) is None and not self.excluded(item):
                refs.add(ObjectRef.of(item))
                roles.add((item.get("roleRef") or NONE).get("name", ""))
        for item in self.facts.each("ClusterRole"):
            name = name_of(item)
            if name in roles and not name.startswith("system:") and name not in _BUILT_IN_ROLES:
                refs.add(ObjectRef.of(item))
        return _in_order(refs)

    @cached_property
    def schedules(self) -> Mapping[str, tuple[ObjectRef, ...]]:
        """The CronJobs that are handed over, by namespace."""
        found: dict[str, list[ObjectRef]] = defaultdict(list)
        for item in self.facts.each("CronJob"):
            if dropped(item) is None and not self.excluded(item) and not self._stays(item):
                found[namespace_of(item)].append(ObjectRef.of(item))
        return {namespace: tuple(sorted(refs)) for namespace, refs in found.items()}

    def excluded(self, item: Manifest) -> bool:
        """Whether settings leave an object out of the copy."""
        return bool(self.facts.migration.copy_.exclude) and self.facts.migration.copy_.excludes(subject(item))

    def _stays(self, item: Manifest) -> bool:
        if item["kind"] != "CronJob":
            return False
        worker = self.facts.migration.workers.get(f"{namespace_of(item)}/{name_of(item)}")
        return worker is not None and worker.skip


def _in_order(refs: Iterable[ObjectRef]) -> list[str]:
    """References as plans write them, in the order of creation."""
    return [text_of(ref) for ref in sorted(refs, key=_created)]


def _created(ref: ObjectRef) -> tuple[int, str, str, str, str]:
    return order(ref.kind), ref.api_version, ref.kind, ref.namespace, ref.name
