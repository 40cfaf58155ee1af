"""What checks look at: the inventory, indexed once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from landbridge.assess.dataplane import Routed, mesh_of, route, switches
from landbridge.model.inventory import Inventory, Service
from landbridge.model.manifest import (
    NONE,
    RUNNING,
    STARTING,
    Fields,
    containers,
    is_owned,
    kind_of,
    labels_of,
    name_of,
    namespace_of,
    pod_spec,
    subject,
)
from landbridge.model.service import Manifest, Mesh, ServiceId, Side
from landbridge.settings.migration import Migration
from landbridge.translate.adoption import LEAF_OF, MIRRORED, TRUSTED, NotAdoptable, not_adoptable, not_linkable
from landbridge.translate.callers import Called, called_of
from landbridge.translate.drop import NEVER
from landbridge.translate.policies import Fronted, Network

NEIGHBOURS = ("StatefulSet", "Ingress", "TargetGroupBinding", "Canary", "Rollout")
ZONE = "topology.kubernetes.io/zone"

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Facts:
    """An inventory and the settings, with the indexes that several checks share."""

    inventory: Inventory
    migration: Migration

    @cached_property
    def by_kind(self) -> Mapping[str, list[Manifest]]:
        """The source's objects by kind."""
        return _by_kind(self.inventory.source.objects)

    @cached_property
    def there(self) -> Mapping[str, list[Manifest]]:
        """The target's objects by kind."""
        return _by_kind(self.inventory.target.objects)

    @cached_property
    def names(self) -> frozenset[Key]:
        """(kind, namespace, name) of everything on the source."""
        return _names(self.by_kind)

    @cached_property
    def names_there(self) -> frozenset[Key]:
        """The same on the target."""
        return _names(self.there)

    @cached_property
    def unserved(self) -> Mapping[tuple[str, str], str]:
        """(apiVersion, kind) on the source that the target does not serve, with the versions that it serves instead."""
        served = self.inventory.target.served
        found: dict[tuple[str, str], str] = {}
        for version, kind in {(item["apiVersion"], item["kind"]) for item in self.inventory.source.objects}:
            group, _, short = version.rpartition("/")
            versions = served.get(f"{group}/{kind}", ())
            if short not in versions and kind not in NEVER:
                found[(version, kind)] = ", ".join(versions)
        return found

    @cached_property
    def configured(self) -> tuple[tuple[str, str], ...]:
        """What people have configured, by object: values of ConfigMaps and variables and command lines, one a line."""
        found = [
            (subject(item), "\n".join((item.get("data") or NONE).values()))
            for item in self.by_kind.get("ConfigMap", ())
        ]
        for item, spec in self.workloads:
            texts: list[str] = []
            for container in containers(spec):
                texts += [variable["value"] for variable in container.get("env") or () if variable.get("value")]
                texts += [*(container.get("command") or ()), *(container.get("args") or ())]
            found.append((subject(item), "\n".join(texts)))
        return tuple(found)

    @cached_property
    def skipped(self) -> frozenset[str]:
        """Workloads that stay, as subjects: those behind services, or workers, that settings skip."""
        staying: set[str] = set()
        moving: set[str] = set()
        for service in self.inventory.services:
            into = staying if self.migration.service(service.id).skip else moving
            into |= {str(ref) for ref in service.workloads}
        workers = {name for name, worker in self.migration.workers.items() if worker.skip}
        staying |= {str(w.ref) for w in self.inventory.workloads if f"{w.ref.namespace}/{w.ref.name}" in workers}
        return frozenset(staying - moving)

    @cached_property
    def workloads(self) -> tuple[tuple[Manifest, Fields], ...]:
        """Every workload that moves, with its pod spec."""
        return tuple(
            (item, pod_spec(item))
            for kind in sorted(RUNNING | STARTING)
            for item in self.by_kind.get(kind, ())
            if not is_owned(item) and not (self.skipped and subject(item) in self.skipped)
        )

    @cached_property
    def running(self) -> tuple[tuple[Manifest, Fields], ...]:
        """Those of them that keep pods running."""
        return tuple((item, spec) for item, spec in self.workloads if item["kind"] in RUNNING)

    @cached_property
    def behind(self) -> frozenset[str]:
        """The workloads behind a Service, as subjects."""
        return frozenset(str(ref) for service in self.inventory.services for ref in service.workloads)

    @cached_property
    def services(self) -> tuple[tuple[Service, Manifest], ...]:
        """Every Service that people made, with its manifest: no mirrors, no leaves, nothing else of ours."""
        models = {service.id: service for service in self.inventory.services}
        found = []
        for item in self.by_kind.get("Service", ()):
            marks = labels_of(item)
            if LEAF_OF not in marks and MIRRORED not in marks and name_of(item) != TRUSTED:
                found.append((models[ServiceId(namespace_of(item), name_of(item))], item))
        return tuple(found)

    @cached_property
    def refusals(self) -> Mapping[ServiceId, NotAdoptable]:
        """Why services cannot be adopted, on the first side that says so."""
        near: dict[str, list[Manifest]] = defaultdict(list)
        for kind in NEIGHBOURS:
            for item in self.by_kind.get(kind, ()):
                near[namespace_of(item)].append(item)
        spaces = {name_of(item): item for item in self.by_kind.get("Namespace", ())}
        zones = {node.labels.get(ZONE) for node in self.inventory.source.nodes} - {None}
        found: dict[ServiceId, NotAdoptable] = {}
        other = max(self.inventory.source.name, self.inventory.target.name, key=len)
        if not self.mesh.leaves:
            return self._not_linkable(near, other)
        for service, item in self.services:
            refusal = not_adoptable(
                item,
                namespace=spaces.get(service.id.namespace),
                neighbours=near[service.id.namespace],
                zones=max(1, len(zones)),
            )
            if refusal:
                found[service.id] = refusal
        return found

    def _not_linkable(self, near: Mapping[str, list[Manifest]], other: str) -> Mapping[ServiceId, NotAdoptable]:
        found: dict[ServiceId, NotAdoptable] = {}
        for service, item in self.services:
            refusal = not_linkable(item, neighbours=near[service.id.namespace], other=other)
            no = self.routed[service.id].refusal
            if refusal is None and no is not None:
                text = f"Service {service.id} cannot be divided by Linkerd: {no.what}"
                refusal = NotAdoptable(rule="linkerd", message=text, advice=no.advice)
            if refusal:
                found[service.id] = refusal
        return found

    @cached_property
    def mesh(self) -> Mesh:
        """The data plane that is used."""
        return mesh_of(self.inventory, self.migration)[0]

    @cached_property
    def routed(self) -> Mapping[ServiceId, Routed]:
        """How Linkerd divides each Service, where it does."""
        if self.mesh.leaves:
            return {}
        here, there = (switches(place.objects) for place in (self.inventory.source, self.inventory.target))
        copied = [
            item for item in here if item["kind"] == "ServiceProfile"
        ]  # beats routes there, too, once it is there
        standing = {Side.SOURCE: here, Side.TARGET: [*there, *copied]}
        return {s.id: route(self.inventory, self.migration, s, standing) for s, _ in self.services}

    @cached_property
    def answered(self) -> frozenset[ServiceId]:
        """The services that have endpoints now, whoever made the pods."""
        return frozenset(
            ServiceId(namespace_of(item), labels_of(item).get("kubernetes.io/service-name", ""))
            for item in self.by_kind.get("EndpointSlice", ())
            if item.get("endpoints")
        )

    @cached_property
    def called(self) -> Mapping[ServiceId, tuple[Called, ...]]:
        """The pods behind each Service as policies see them, one for each workload."""
        labels = {str(workload.ref): workload.labels for workload in self.inventory.workloads}
        specs = {
            subject(item): pod_spec(item) for kind in sorted(RUNNING | {"Pod"}) for item in self.by_kind.get(kind, ())
        }
        return {
            service.id: tuple(
                called_of(labels[str(ref)], specs.get(str(ref), NONE))
                for ref in service.workloads
                if str(ref) in labels
            )
            for service, _ in self.services
        }

    @cached_property
    def network(self) -> Network:
        """The source's policies and the Services that will be adopted there; nothing while there are no policies."""
        if not self.by_kind.get("NetworkPolicy"):
            return Network.of((), (), ())
        specs = {subject(item): spec for item, spec in self.workloads}
        labels = {str(workload.ref): workload.labels for workload in self.inventory.workloads}
        fronted = [
            Fronted(
                id=service.id,
                pods=tuple(labels[str(ref)] for ref in service.workloads if str(ref) in labels),
                ports=_ports(item, [specs[str(ref)] for ref in service.workloads if str(ref) in specs]),
            )
            for service, item in self.services
            if service.id not in self.refusals and service.workloads
        ]
        return Network.of(self.each("NetworkPolicy"), self.each("Namespace"), fronted)

    def each(self, *kinds: str) -> Iterator[Manifest]:
        """The source's objects of some kinds."""
        for kind in kinds:
            yield from self.by_kind.get(kind, ())


def _ports(service: Manifest, specs: Iterable[Fields]) -> frozenset[int | str]:
    """The numbers and names by which policies may know the ports of a Service's pods."""
    found: set[int | str] = {port.get("targetPort") or port["port"] for port in service["spec"].get("ports") or ()}
    for container in (one for spec in specs for one in containers(spec, init=False)):
        for port in container.get("ports") or ():
            pair = {port.get("containerPort"), port.get("name")} - {None}
            found |= pair if pair & found else set()
    return frozenset(found)


def _by_kind(objects: tuple[Manifest, ...]) -> Mapping[str, list[Manifest]]:
    found: dict[str, list[Manifest]] = defaultdict(list)
    for item in objects:
        found[kind_of(item)].append(item)
    return dict(found)


def _names(by_kind: Mapping[str, list[Manifest]]) -> frozenset[Key]:
    return frozenset((kind, namespace_of(item), name_of(item)) for kind, items in by_kind.items() for item in items)
