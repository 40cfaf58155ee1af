"""Which data plane a migration uses, and which router divides each Service there (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from landbridge.linkerd.mechanism import Choice, No, choose
from landbridge.linkerd.plane import End, decide
from landbridge.model.inventory import Inventory, Service
from landbridge.model.service import MESHES, Manifest, Mesh, Port, Protocol, ServiceId, Side
from landbridge.settings.migration import Migration

KINDS = frozenset({"TrafficSplit", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "ServiceProfile"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """How a Service is divided with Linkerd: its router and domain on each side, or why it cannot be."""

    routers: Mapping[Side, str]
    domains: Mapping[Side, str]
    refusal: No | None = None
    side: Side | None = None


def mesh_of(inventory: Inventory, migration: Migration) -> tuple[Mesh, str]:
    """The data plane, and why that one."""
    ends = [End(place.name, place.linkerd) for place in (inventory.source, inventory.target)]
    name, why = decide(migration.data_plane.plane.value, ends[0], ends[1], migration.namespaces)
    return MESHES[name], why


def switches(objects: Iterable[Manifest]) -> list[Manifest]:
    """The objects that divide traffic, or might."""
    return [item for item in objects if item["kind"] in KINDS]


def route(
    inventory: Inventory, migration: Migration, service: Service, standing: Mapping[Side, Sequence[Manifest]]
) -> Routed:
    """The routers of a Service by what each cluster has; `standing` are the switches there already."""
    protocols = [spoken(migration, service.id, port) for port in service.ports]
    routers: dict[Side, str] = {}
    domains: dict[Side, str] = {}
    for side, place in ((Side.SOURCE, inventory.source), (Side.TARGET, inventory.target)):
        if place.linkerd is None:
            no = No(f"there is no Linkerd in {place.name}", place.name, "install it, or set dataPlane.plane: builtin")
            return Routed(routers={}, domains={}, refusal=no, side=side)
        chosen = choose(place.linkerd, service.id, protocols, standing[side])
        if isinstance(chosen, Choice) and migration.router not in {"auto", chosen.router}:
            advice = f"say router: auto, or install what {migration.router} needs"
            chosen = No(f"{place.name} takes {chosen.router} for it, not {migration.router}", place.name, advice)
        if isinstance(chosen, No):
            return Routed(routers={}, domains={}, refusal=chosen, side=side)
        routers[side], domains[side] = chosen.router, place.linkerd.domain
    return Routed(routers=routers, domains=domains)


def spoken(migration: Migration, service: ServiceId, port: Port) -> Protocol:
    """The protocol of a port: as migration.yaml says, else as declared."""
    stated = migration.service(service).protocols
    return stated.get(str(port.port)) or stated.get(port.name) or port.protocol
