"""What `landbridge run` needs in both clusters by its plan, the way back included (pure).

A run may read the Secrets that it copies and no others, and scale only what its plan scales. `run/needs.py` has the
table, `run/roles.py` makes roles of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from landbridge.clients.kinds import LEASE, NAMESPACE, Kind
from landbridge.connect import names
from landbridge.connect.adopt import NEIGHBOURS
from landbridge.model.manifest import ref_of
from landbridge.model.plan import Act, ActKind
from landbridge.model.service import ObjectRef, ServiceId, Side
from landbridge.run.agenda import shared_by
from landbridge.run.needs import BOTH, FOUND, NEEDS, RULES, Need, On, Rule
from landbridge.run.switches import by_side
from landbridge.shift.table import ROUTERS, router_among
from landbridge.translate.adoption import leaf_name

VERBS = ("get", "list", "watch", "create", "patch", "delete", "escalate", "bind")

Served = Mapping[tuple[str, str], Sequence[Kind]]
"""What a cluster serves by (group, kind), as `Kubernetes.kinds` gives it."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Right:
    """Verbs on one resource of one cluster in a namespace; no namespace is the whole cluster, no names are all."""

    side: Side
    namespace: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    names: tuple[str, ...] = ()
    why: str = ""
    otherwise: str = ""

    def __str__(self) -> str:
        plural, slash, part = self.resource.partition("/")
        on = f"{plural}{'.' if self.group else ''}{self.group}{slash}{part}"
        named = f" ({', '.join(self.names)})" if self.names else ""
        return f"{', '.join(self.verbs)} {on}{named} in {self.namespace or 'the whole cluster'}"


@dataclass(slots=True, kw_only=True)
class _Asked:
    """One verb on one resource, from as many acts as ask for it."""

    otherwise: str
    names: set[str] = field(default_factory=set)
    whys: set[str] = field(default_factory=set)
    every: bool = False


@dataclass(frozen=True, slots=True)
class _Object:
    """A kind with a place and a name; no name is every object."""

    kind: Kind
    namespace: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Act:
    """One act with what its rights depend on."""

    service: ServiceId
    act: Act
    router: Mapping[Side, str]
    served: Mapping[Side, Served]

    @property
    def refs(self) -> list[ObjectRef]:
        """The objects that it names."""
        return [ref_of(str(text)) for text in self.act.args.get("objects", ())]

    @property
    def has_callers(self) -> bool:
        """Whether services are in front of what it scales."""
        return bool(shared_by(self.act)) or self.service.name != "*"


Row = tuple[Side, Rule, _Object]


def rights(acts: Iterable[tuple[ServiceId, Act]], served: Mapping[Side, Served]) -> tuple[Right, ...]:
    """What a run of these acts needs, each verb once; the order of the acts does not matter."""
    acts = list(acts)
    routers = {service: by_side(act.args.get("router")) for service, act in acts if act.kind is ActKind.SPLIT}
    wanted = [_of_act(_Act(service, act, routers.get(service, {}), served)) for service, act in acts]
    asked: dict[tuple[Side, str, str, str, str], _Asked] = {}
    for side, rule, item in chain(_always(), *wanted):
        resource = f"{item.kind.plural}/{rule.part}" if rule.part else item.kind.plural
        for verb in rule.may:
            if verb == "create" and item.kind.plural == NAMESPACE.plural:
                continue  # `connect` has made it, for its waypoints
            key = (side, item.namespace, item.kind.group, resource, verb)
            found = asked.setdefault(key, _Asked(otherwise=rule.otherwise))
            found.otherwise = found.otherwise and rule.otherwise
            found.every |= not item.name
            found.names.add(item.name)
            found.whys.add(rule.why)
    return tuple(sorted(_joined(asked)))


def _joined(asked: Mapping[tuple[Side, str, str, str, str], _Asked]) -> Iterator[Right]:
    """Verbs on the same objects become one right."""
    rows: dict[tuple[Side, str, str, str, tuple[str, ...], str], dict[str, set[str]]] = {}
    for (*place, verb), item in asked.items():
        side, namespace, group, resource = place
        named = () if item.every else tuple(sorted(item.names))
        rows.setdefault((Side(side), namespace, group, resource, named, item.otherwise), {})[verb] = item.whys
    for (side, namespace, group, resource, named, otherwise), verbs in rows.items():
        yield Right(
            side=side,
            namespace=namespace,
            group=group,
            resource=resource,
            verbs=tuple(sorted(verbs, key=VERBS.index)),
            names=named,
            why="; ".join(sorted(set[str]().union(*verbs.values()))),
            otherwise=otherwise,
        )


def _always() -> Iterator[Row]:
    for side in Side:
        for rule in RULES[Need.RUN]:
            yield from ((side, rule, _Object(LEASE, names.HOME, name)) for name in rule.names or ("",))


def _of_act(it: _Act) -> Iterator[Row]:
    for need, sides in _needs(it):
        for side in sides or (Side(it.act.args["side"]),):
            for rule in RULES[need]:
                if rule.side in {None, side}:
                    yield from ((side, rule, item) for item in _objects(it, need, rule, side))


def _needs(it: _Act) -> Iterator[tuple[Need, tuple[Side, ...]]]:
    args, kind = it.act.args, it.act.kind
    yield from NEEDS[kind]
    if kind is ActKind.SCALE and args["side"] == Side.SOURCE.value and int(args["replicas"]) == 0 and it.has_callers:
        yield Need.SHRINK, (Side.SOURCE,)
    if "objects" not in args and kind in {ActKind.READY, ActKind.PIN, ActKind.SCALE}:
        yield Need.BEHIND, BOTH
        if kind is ActKind.PIN:
            yield Need.FIND, BOTH


def _objects(it: _Act, need: Need, rule: Rule, side: Side) -> Iterator[_Object]:
    served = it.served[side]
    space = names.HOME if rule.home else it.service.namespace
    match rule.on:
        case On.OBJECTS:
            yield from _named(it, need, rule, served)
        case On.SWITCH:
            yield _Object((ROUTERS.get(it.router.get(side, "")) or router_among(served)).kind, space)
        case On.NEIGHBOURS:
            yield from (_Object(kind, space) for kind in NEIGHBOURS if (kind.group, kind.kind) in served)
        case kinds if need is Need.COPY_BINDING:
            bindings = [ref for ref in it.refs if ref.kind in {"RoleBinding", "ClusterRoleBinding"}]
            places = {ref.namespace for ref in bindings}  # what they refer to is not in the plan
            yield from (_Object(kind, place) for place in places for kind in kinds if place or not kind.namespaced)
        case kinds:
            yield from (_Object(kind, space, space if kind == NAMESPACE else "") for kind in kinds)


def _named(it: _Act, need: Need, rule: Rule, served: Served) -> Iterator[_Object]:
    """The objects of an act, as far as their kinds are served: a copy says by itself that one is not."""
    if "objects" not in it.act.args:
        yield from (_Object(kind, it.service.namespace) for kind in FOUND.get(it.act.kind, ()))
    for ref in it.refs:
        kind = next(iter(served.get((ref.api_version.rpartition("/")[0], ref.kind), ())), None)
        if kind is None or (need is Need.COPY_ROLE and ref.kind not in {"Role", "ClusterRole"}):
            continue
        yield _Object(kind, ref.name if ref.kind == "Namespace" else ref.namespace, ref.name)
        if need is Need.COPY and rule.side is Side.SOURCE and ref.kind == "Service":
            yield _Object(kind, ref.namespace, leaf_name(ref.name))  # it has the selector of one that is adopted
