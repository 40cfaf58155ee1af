"""What an Envoy has to do, from the objects that the API server shows (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from landbridge.agent import endpoints, names, ports
from landbridge.agent.lease import gone_home
from landbridge.agent.links import Link, callers, remote_of
from landbridge.agent.split import Declared, Expiry, Obeyed, Split, obey
from landbridge.envoy.state import Backend, Export, Gateway, Listener, Waypoint, by_key
from landbridge.model.service import Manifest, Protocol


@dataclass(frozen=True, slots=True)
class World:
    """The objects of one namespace (or of all), as the informers hold them."""

    services: Mapping[str, Manifest]
    slices: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    splits: Collection[Manifest] = ()
    routes: Collection[Manifest] = ()

    @classmethod
    def of(
        cls,
        namespace: str,
        services: Iterable[Manifest],
        slices: Iterable[Manifest],
        splits: Iterable[Manifest] = (),
        routes: Iterable[Manifest] = (),
    ) -> World:
        """The part of the cluster that lies in one namespace."""
        found = cls.each(services, slices).get(namespace) or cls({})
        return cls(found.services, found.slices, tuple(splits), tuple(routes))

    @classmethod
    def each(cls, services: Iterable[Manifest], slices: Iterable[Manifest]) -> dict[str, World]:
        """Every namespace's part of the cluster, without splits; one with neither Service nor slice is missing."""
        named: dict[str, dict[str, Manifest]] = defaultdict(dict)
        by_service: dict[str, dict[str, list[Manifest]]] = defaultdict(dict)
        for item in services:
            named[item["metadata"].get("namespace") or ""][item["metadata"]["name"]] = item
        for item in slices:
            near = by_service[item["metadata"].get("namespace") or ""]
            near.setdefault(names.label(item, names.SERVICE_NAME), []).append(item)
        return {space: cls(named.get(space, {}), by_service.get(space, {})) for space in {*named, *by_service}}

    def local_slices(self, service: str) -> Sequence[Manifest]:
        """The slices of a Service's own pods here: its leaf's, or its own that no agent wrote.

        A leaf that was just made has no slices for a while: at weight 100 the other cluster saw 503 for seconds.
        """
        leaf = self.services.get(names.leaf_name(service))
        own = self.slices.get(names.leaf_name(service), ())
        if leaf and (names.annotation(leaf, names.STATE) == "adopted" or endpoints.addresses(own)):
            return own
        return endpoints.foreign(self.slices.get(service, ()))

    def is_mirror(self, name: str) -> bool:
        """Whether a Service stands for one of another cluster."""
        service = self.services.get(name)
        return service is not None and names.label(service, names.MIRRORED) == "true"

    def home_ready(self, split: Split) -> bool:
        """Whether home can take all traffic: ready endpoints as many as the split asks for."""
        if self.is_mirror(split.home):
            known = names.annotation(self.services[split.home], names.REMOTE_READY)
            sized = not known.isdecimal() or int(known) >= split.home_replicas
            return sized and bool(endpoints.addresses(self.slices.get(split.home, ())))
        base = split.home.removesuffix("-leaf") if split.home not in self.services else split.home
        return len(endpoints.addresses(self.local_slices(base))) >= split.home_replicas


def waypoint(
    cluster: str,
    namespace: str,
    world: World,
    allocations: ports.Allocations,
    last: Mapping[str, Obeyed],
    expired_at: Callable[[str], float | None],
    now: float,
    bind: str = "::",
) -> tuple[Waypoint, dict[str, Obeyed]]:
    """What a namespace's waypoint has to do, and the weights in force by Service.

    `last` is what was in force before; `expired_at` says when (monotonic seconds) a run lease ran out; `now` is
    monotonic.
    """
    adopted = sorted({item.service for item in allocations.values() if not world.is_mirror(item.service)})
    said, mirrors = Declared(world.splits, world.routes), _ready_mirrors(world)
    splits = {name: said.of(name) for name in adopted}
    home = _homeward(world, splits, expired_at, now)
    known = frozenset(world.services)
    defaults = {name: _default(world, name, mirrors) for name in adopted}
    obeyed = {
        name: obey(splits[name], default=defaults[name], known=known, go_home=name in home, last=last.get(name))
        for name in adopted
    }
    listeners = [_listener(namespace, world, item, splits, obeyed) for item in allocations.values()]
    return Waypoint(cluster=cluster, namespace=namespace, listeners=by_key(listeners), bind=bind), obeyed


def gateway(
    cluster: str, services: Iterable[Manifest], worlds: Mapping[str, World], links: Sequence[Link], bind: str = "::"
) -> Gateway:
    """What a cluster's gateway has to do: every exported Service and port, to the pods here and never to the apex."""
    exported = [item for item in services if is_exported(item)]
    exports = [
        Export(
            namespace=namespace,
            service=name,
            port=int(str(port["port"])),
            protocol=endpoints.protocol_of(port, stated),
            endpoints=endpoints.ready(worlds[namespace].local_slices(name), str(port.get("name") or "")),
            affinity=item["spec"].get("sessionAffinity") == "ClientIP",
        )
        for item in exported
        for namespace, name in [(item["metadata"]["namespace"], item["metadata"]["name"])]
        for stated in [endpoints.stated_of(worlds[namespace].services.get(names.leaf_name(name)), item)]
        for port in endpoints.ports_of(item)
        if (port.get("protocol") or "TCP") == "TCP"
    ]
    spaces = {item.namespace for item in exports}
    allowed = sorted({identity for link in links for identity in callers(link, spaces)})
    ordered = sorted(exports, key=lambda item: (item.namespace, item.service, item.port))
    return Gateway(cluster=cluster, exports=tuple(ordered), allowed=tuple(allowed), bind=bind)


def is_exported(service: Manifest) -> bool:
    """Whether the other cluster may see a Service; a mirror is never exported again (no loops)."""
    return names.label(service, names.EXPORTED) == "true" and names.label(service, names.MIRRORED) != "true"


def _homeward(
    world: World, splits: Mapping[str, Split | None], expired_at: Callable[[str], float | None], now: float
) -> frozenset[str]:
    """The Services whose lease has run out, whose home is ready and whose turn has come."""
    due: list[tuple[str, float]] = []
    for name, split in splits.items():
        if split is None or not split.run_lease or split.on_expiry is not Expiry.HOME:
            continue
        at = expired_at(split.run_lease)
        if at is not None and world.home_ready(split):
            due.append((name, at))
    return gone_home(due, now)


def _default(world: World, service: str, mirrors: Mapping[str, str]) -> str:
    """Where traffic goes without a split: the leaf, or a ready mirror while the leaf has nobody."""
    leaf = names.leaf_name(service)
    if endpoints.addresses(world.local_slices(service)):
        return leaf
    return mirrors.get(service, leaf)


def _ready_mirrors(world: World) -> dict[str, str]:
    """The first mirror of each Service that has endpoints."""
    found: dict[str, str] = {}
    for name in sorted(world.services):
        if world.is_mirror(name) and endpoints.addresses(world.slices.get(name, ())):
            found.setdefault(names.annotation(world.services[name], names.REMOTE_NAME).partition(".")[0], name)
    return found


def _listener(
    namespace: str,
    world: World,
    item: ports.Allocation,
    splits: Mapping[str, Split | None],
    obeyed: Mapping[str, Obeyed],
) -> Listener:
    split = splits.get(item.service)
    weights = dict(obeyed[item.service].at(item.port)) if item.service in obeyed else {item.service: 100}
    home = split.home if split else ""
    if home and home in world.services:
        weights.setdefault(home, 0)
    found = [_backend(world, item, name, weight, fallback=name == home) for name, weight in sorted(weights.items())]
    owner = world.services.get(names.leaf_name(item.service)) or world.services.get(item.service)
    return Listener(
        namespace=namespace,
        service=item.service,
        port=item.port,
        listen=item.listen,
        protocol=item.protocol,
        backends=tuple(backend for backend in found if backend is not None),
        full_retry=owner is not None and names.annotation(owner, names.FULL_RETRY) == "true",
        affinity=item.affinity,
    )


def _backend(world: World, item: ports.Allocation, name: str, weight: int, *, fallback: bool) -> Backend | None:
    """One side of a listener; None for one that does not exist here and has no weight."""
    if world.is_mirror(name):
        remote = remote_of(world.services[name], item.port)
        if remote is not None and item.protocol is not Protocol.UDP:
            return Backend(service=name, weight=weight, remote=remote, fallback=fallback)
        return Backend(service=name, weight=weight, local=(), fallback=fallback) if weight else None
    base = item.service if name == names.leaf_name(item.service) else name
    if base != item.service and base not in world.services:
        return Backend(service=name, weight=weight, local=()) if weight else None
    owner = world.services.get(names.leaf_name(base)) or world.services.get(base)
    port = _port_name(owner, item)
    transport = "UDP" if item.protocol is Protocol.UDP else "TCP"
    found = endpoints.ready(world.local_slices(base), port, transport)
    return Backend(service=name, weight=weight, local=found, fallback=fallback)


def _port_name(service: Manifest | None, item: ports.Allocation) -> str:
    """The name of the Service port that an allocation stands for; slices know ports by name only."""
    for port in endpoints.ports_of(service) if service else ():
        if endpoints.port_key(port) == f"{item.port}/{item.transport}":
            return str(port.get("name") or "")
    return ""
