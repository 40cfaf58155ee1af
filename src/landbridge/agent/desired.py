"""What an Envoy has to do, from the objects that the API server shows (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from landbridge.agent import endpoints, names, ports
from landbridge.agent.lease import gone_home
from landbridge.agent.links import LABELLED, Link, callers, remote_of
from landbridge.agent.split import Declared, Expiry, Obeyed, Split, obey
from landbridge.envoy.state import Backend, Export, Gateway, HeaderRoute, Listener, Shadow, Waypoint, by_key
from landbridge.model.exports import Exports, is_flat
from landbridge.model.service import Manifest, Protocol

EVERYBODY: Mapping[str, tuple[str, ...] | None] = {}


@dataclass(frozen=True, slots=True)
class World:
    """The objects of one namespace (or of all), as the informers hold them."""

    services: Mapping[str, Manifest]
    slices: Mapping[str, Sequence[Manifest]] = field(default_factory=dict)
    splits: Collection[Manifest] = ()
    routes: Collection[Manifest] = ()
    mirrors: Mapping[str, Sequence[str]] = field(init=False)
    """The mirrors of each Service here, by its name, in order."""

    def __post_init__(self) -> None:
        found: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.services):
            if self.is_mirror(name):
                found[names.remote_service(self.services[name])[1]].append(name)
        object.__setattr__(self, "mirrors", found)

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
        by_service: dict[str, list[Manifest]] = defaultdict(list)
        for item in slices:
            if item["metadata"].get("namespace") == namespace:
                by_service[names.label(item, names.SERVICE_NAME)].append(item)
        own = [item for item in services if item["metadata"].get("namespace") == namespace]
        return cls({item["metadata"]["name"]: item for item in own}, by_service, tuple(splits), tuple(routes))

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
    callers: Mapping[str, tuple[str, ...] | None] = EVERYBODY,
) -> tuple[Waypoint, dict[str, Obeyed]]:
    """What a namespace's waypoint has to do, and the weights in force by Service.

    `last` is what was in force before; `expired_at` says when (monotonic seconds) a run lease ran out; `now` is
    monotonic. `callers` are the networks that may call, by `<service>/<port>`; who is not named is called by all.
    """
    adopted = sorted({item.service for item in allocations.values() if not world.is_mirror(item.service)})
    said = Declared(world.splits, world.routes)
    splits = {name: said.of(name) for name in adopted}
    home = _homeward(world, splits, expired_at, now)
    known = frozenset(world.services)
    obeyed = {
        name: obey(
            splits[name],
            default=_default(world, name),
            known=known,
            go_home=name in home,
            last=last.get(name),
            alive=_alive(splits[name], expired_at),
        )
        for name in adopted
    }
    listeners = [
        replace(_listener(namespace, world, item, splits, obeyed), callers=callers.get(f"{item.service}/{item.port}"))
        for item in allocations.values()
    ]
    return Waypoint(cluster=cluster, namespace=namespace, listeners=by_key(listeners), bind=bind), obeyed


def gateway(
    cluster: str,
    services: Iterable[Manifest],
    worlds: Mapping[str, World],
    links: Sequence[Link],
    bind: str = "::",
    policy: Exports = LABELLED,
) -> Gateway:
    """What a cluster's gateway has to do: every exported Service and port, to the pods here and never to the apex.

    A headless Service is there as a whole, and by each pod that has a host name: as `<hostname>.<service>`.
    """
    exported = [item for item in services if policy.covers(item) and not is_flat(item)]
    exports = [
        Export(
            namespace=namespace,
            service=f"{pod}.{name}" if pod else name,
            port=int(str(port["port"])),
            protocol=endpoints.protocol_of(port, stated),
            endpoints=endpoints.ready(found, str(port.get("name") or "")),
            affinity=item["spec"].get("sessionAffinity") == "ClientIP",
        )
        for item in exported
        for namespace, name in [(item["metadata"]["namespace"], item["metadata"]["name"])]
        for stated in [endpoints.stated_of(worlds[namespace].services.get(names.leaf_name(name)), item)]
        for pod, found in endpoints.by_hostname(worlds[namespace].local_slices(name), each=names.is_headless(item))
        for port in policy.ports(item)
        if (port.get("protocol") or "TCP") == "TCP"
    ]
    spaces = {item.namespace for item in exports}
    allowed = sorted({identity for link in links for identity in callers(link, spaces)})
    ordered = sorted(exports, key=lambda item: (item.namespace, item.service, item.port))
    return Gateway(cluster=cluster, exports=tuple(ordered), allowed=tuple(allowed), bind=bind)


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


def _alive(split: Split | None, expired_at: Callable[[str], float | None]) -> bool:
    return split is not None and expired_at(split.run_lease) is None


def _default(world: World, service: str) -> str:
    """Where traffic goes without a split: the leaf, or a ready mirror while the leaf has nobody."""
    leaf = names.leaf_name(service)
    if endpoints.addresses(world.local_slices(service)):
        return leaf
    ready = [name for name in world.mirrors.get(service, ()) if endpoints.addresses(world.slices.get(name, ()))]
    return ready[0] if ready else leaf


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
    for name in _both(world, item.service, home) if split else ():
        weights.setdefault(name, 0)
    extras = obeyed.get(item.service)
    for name in (*extras.header.values(), *extras.shadow) if extras else ():
        weights.setdefault(name, 0)
    found = [_backend(world, item, name, weight, fallback=name == home) for name, weight in sorted(weights.items())]
    backends = tuple(backend for backend in found if backend is not None)
    header, shadow = _extras(world, item, backends, extras) if extras else (None, None)
    owner = world.services.get(names.leaf_name(item.service)) or world.services.get(item.service)
    return Listener(
        namespace=namespace,
        service=item.service,
        port=item.port,
        listen=item.listen,
        protocol=item.protocol,
        backends=backends,
        full_retry=owner is not None and names.annotation(owner, names.FULL_RETRY) == "true",
        affinity=item.affinity,
        header=header,
        shadow=shadow,
    )


def _both(world: World, service: str, home: str) -> list[str]:
    """The backends of a split, whether it names them or not: an HTTPRoute drops a weight of 0, and a side whose
    clusters went while requests were on their way to it answered 503 to one in three ways home.
    """
    found = [home, names.leaf_name(service), *world.mirrors.get(service, ())]
    return [name for name in found if name in world.services]


def _extras(
    world: World, item: ports.Allocation, backends: Sequence[Backend], obeyed: Obeyed
) -> tuple[HeaderRoute | None, Shadow | None]:
    """Header route and shadow of one port, as far as its protocol and its backends allow."""
    there = {backend.service: backend.weight for backend in backends}
    header = shadow = None
    if item.protocol in {Protocol.HTTP, Protocol.GRPC} and obeyed.header and set(obeyed.header.values()) <= set(there):
        trusted = endpoints.addresses(endpoints.foreign(world.slices.get(names.TRUSTED, ())))
        header = HeaderRoute(trusted=tuple(sorted(trusted)), **obeyed.header)
    for name, percent in obeyed.shadow.items():
        if item.protocol is Protocol.HTTP and there.get(name) == 0:
            shadow = Shadow(service=name, percent=percent)
    return header, shadow


def _backend(world: World, item: ports.Allocation, name: str, weight: int, *, fallback: bool) -> Backend | None:
    """One side of a listener; None for one that does not exist here and has no weight."""
    if world.is_mirror(name):
        mirror = world.services[name]
        if names.label(mirror, names.REMOTE_DISCOVERY):
            pods = endpoints.ready(world.slices.get(name, ()), _port_name(mirror, item))
            return Backend(service=name, weight=weight, local=pods, fallback=fallback)
        remote = remote_of(mirror, item.port)
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
