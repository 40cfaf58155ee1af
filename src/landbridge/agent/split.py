"""What a split declares and what is obeyed of it (pure).

A split is a TrafficSplit (SMI v1alpha2) or an HTTPRoute with a Service parent. Whatever cannot be obeyed is held: the
last weights stay in force, for an unreadable object must never stop traffic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from landbridge.agent import names
from landbridge.model.service import Manifest

Weights = Mapping[str, int]
ANY_PORT = 0


class Expiry(StrEnum):
    """What a split does when its run lease has run out."""

    HOME = "home"
    STAY = "stay"


class Reason(StrEnum):
    """Why these weights are in force."""

    DECLARED = "declared"
    DEFAULT = "default"  # there is no split: the leaf, or the mirror while the leaf has nobody
    HOME = "home"  # the run lease has run out
    HELD = "held"  # the split cannot be obeyed


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One declared split. `weights` maps a Service port (0 for all others) to weights by backend Service.

    `problem` says why it cannot be obeyed, empty when it can. `home_replicas` is how many ready endpoints home needs
    before traffic may go there by itself. `header` maps `source` and `target` to the backends that the header route
    means by them, `shadow` a backend to the percent of safe requests copied to it; empty is off.
    """

    service: str
    source: str
    weights: Mapping[int, Weights] = field(default_factory=dict)
    run_lease: str = ""
    on_expiry: Expiry = Expiry.STAY
    home: str = ""
    home_replicas: int = 1
    header: Mapping[str, str] = field(default_factory=dict)
    shadow: Mapping[str, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obeyed:
    """The weights in force for one Service and why, and the header route and the shadow if they are."""

    weights: Mapping[int, Weights]
    reason: Reason
    problem: str = ""
    header: Mapping[str, str] = field(default_factory=dict)
    shadow: Mapping[str, int] = field(default_factory=dict)

    def at(self, port: int) -> Weights:
        """The weights of one Service port."""
        return self.weights.get(port) or self.weights.get(ANY_PORT) or next(iter(self.weights.values()))


def declared(service: str, splits: Iterable[Manifest], routes: Iterable[Manifest]) -> Split | None:
    """The split of a Service, or None; of two mechanisms for one Service every agent obeys the TrafficSplit."""
    return Declared(splits, routes).of(service)


class Declared:
    """The splits of a namespace, sorted by Service once: hundreds of Services ask."""

    def __init__(self, splits: Iterable[Manifest], routes: Iterable[Manifest]) -> None:
        self._splits: dict[str, list[Manifest]] = {}
        self._routes: dict[str, list[Manifest]] = {}
        for item in splits:
            self._splits.setdefault(str((item.get("spec") or {}).get("service")), []).append(item)
        for item in routes:
            for service in _parents(item):
                self._routes.setdefault(service, []).append(item)

    def of(self, service: str) -> Split | None:
        """The split of one Service."""
        found = [_trafficsplit(item) for item in self._splits.get(service, ())]
        found += [_httproute(item, service) for item in self._routes.get(service, ())]
        if len(found) < 2:
            return found[0] if found else None
        first = found[0]
        note = f"{len(found)} splits for one Service: {first.source} is obeyed"
        return first if first.problem else replace(first, problem=note)


def obey(
    split: Split | None,
    *,
    default: str,
    known: frozenset[str],
    go_home: bool,
    last: Obeyed | None,
    alive: bool = True,
) -> Obeyed:
    """The weights to put in force.

    `default` is the backend without a split, `known` the backends that can be reached by name, `go_home` that the run
    lease has run out and home is ready and sized, `last` what was in force before. Header route and shadow are in force
    only beside declared weights and while the runner lives (`alive`): nobody else would turn them off.
    """
    if split is None:
        return Obeyed(weights={ANY_PORT: {default: 100}}, reason=Reason.DEFAULT)
    if go_home and split.on_expiry is Expiry.HOME and split.home in known:
        return Obeyed(weights={ANY_PORT: {split.home: 100}}, reason=Reason.HOME, problem="run lease has run out")
    problem = _fault(split, known)
    if not problem:
        declared = Obeyed(weights=split.weights, reason=Reason.DECLARED, problem=split.problem)
        return _with_extras(declared, split, known) if alive and split.run_lease else declared
    if last is not None and not _strangers(last.weights, known):
        return Obeyed(weights=last.weights, reason=Reason.HELD, problem=problem)
    return Obeyed(weights={ANY_PORT: {default: 100}}, reason=Reason.HELD, problem=problem)


def _with_extras(declared: Obeyed, split: Split, known: frozenset[str]) -> Obeyed:
    """A shadow is for a backend that gets nothing else: what it gets in earnest is no comparison for its copies."""
    header = split.header if set(split.header.values()) <= known else {}
    busy = {name for weights in split.weights.values() for name, weight in weights.items() if weight}
    shadow = split.shadow if set(split.shadow) <= known and busy.isdisjoint(split.shadow) else {}
    return replace(declared, header=header, shadow=shadow)


def _fault(split: Split, known: frozenset[str]) -> str:
    if not split.weights:
        return split.problem or "no backends"
    for weights in split.weights.values():
        if any(weight < 0 for weight in weights.values()):
            return "a weight is negative"
        if not sum(weights.values()):
            return "all weights are zero"
    if strangers := _strangers(split.weights, known):
        return f"no such backend here: {', '.join(strangers)}"
    return ""


def _strangers(by_port: Mapping[int, Weights], known: frozenset[str]) -> list[str]:
    pairs = [pair for weights in by_port.values() for pair in weights.items()]
    return sorted({name for name, weight in pairs if weight and name not in known})


def _trafficsplit(item: Manifest) -> Split:
    name = item["metadata"]["name"]
    weights: dict[str, int] = {}
    try:
        for backend in item["spec"].get("backends") or ():
            weights[str(backend["service"])] = _whole(backend.get("weight", 0))
    except (KeyError, TypeError, ValueError, AttributeError):
        return _terms(item, str(item["spec"]["service"]), f"TrafficSplit {name}", {}, "weights are not whole numbers")
    return _terms(item, str(item["spec"]["service"]), f"TrafficSplit {name}", {ANY_PORT: weights} if weights else {})


def _httproute(item: Manifest, service: str) -> Split:
    source = f"HTTPRoute {item['metadata']['name']}"
    weights: dict[int, dict[str, int]] = {}
    try:
        for rule in item["spec"].get("rules") or ():
            refs = rule.get("backendRefs") or ()
            port = int(refs[0].get("port") or ANY_PORT) if refs else ANY_PORT
            if refs and port not in weights:
                weights[port] = {str(ref["name"]): _whole(ref.get("weight", 1)) for ref in refs}
    except (KeyError, TypeError, ValueError, AttributeError):
        return _terms(item, service, source, {}, "weights are not whole numbers")
    return _terms(item, service, source, weights)


def _parents(item: Manifest) -> set[str]:
    """The Services that an HTTPRoute divides."""
    parents = (item.get("spec") or {}).get("parentRefs") or ()
    return {str(parent.get("name")) for parent in parents if parent.get("kind") == "Service"}


def _terms(item: Manifest, service: str, source: str, weights: Mapping[int, Weights], problem: str = "") -> Split:
    home_replicas = names.annotation(item, names.HOME_REPLICAS)
    return Split(
        service=service,
        source=source,
        weights=weights,
        run_lease=names.annotation(item, names.RUN_LEASE),
        on_expiry=Expiry.HOME if names.annotation(item, names.ON_EXPIRY) == Expiry.HOME else Expiry.STAY,
        home=names.annotation(item, names.HOME),
        home_replicas=max(1, int(home_replicas)) if home_replicas.isdecimal() else 1,
        header=_header(names.annotation(item, names.HEADER_ROUTE)),
        shadow=_shadow(names.annotation(item, names.SHADOW)),
        problem=problem,
    )


def _header(text: str) -> Mapping[str, str]:
    """`source=web-leaf target=web-eks`; anything else is off."""
    found = _pairs(text)
    return found if set(found) == {"source", "target"} and all(found.values()) else {}


def _shadow(text: str) -> Mapping[str, int]:
    """`web-eks=10`: one backend, 1 to 100 percent; anything else is off."""
    found = {name: int(value) for name, value in _pairs(text).items() if value.isdecimal() and len(value) < 4}
    return found if len(found) == 1 and all(1 <= value <= 100 for value in found.values()) else {}


def _pairs(text: str) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in text.split())}


def _whole(value: object) -> int:
    """An integer weight; SMI v1alpha1 wrote quantities, which v1alpha2 does not."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(value)
    return value
