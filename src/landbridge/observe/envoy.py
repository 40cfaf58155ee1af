"""Counters of the built-in data plane: every waypoint pod of both clusters, read through the API servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from landbridge.clients.kinds import POD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.model.look import Count, Cursor, Look, NoData, Reading
from landbridge.model.service import Manifest, Route, ServiceId, Side

PORT = 15020
WAYPOINTS = "landbridge.dev/role=waypoint"
COPIED, NOBODY = "|copied", "|nobody"  # cannot be in a name

SAME_START = 3000
"""Milliseconds by which Envoy's start may seem to move: it is told as whole seconds of uptime before now."""

SHORT = 8
"""By so much a count may be read short while connections come and go."""

_AT, _START = "@at", "@start"  # kept in the cursor beside the series, in milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One pod's answer, or why there is none; `leaving` when the pod is going away."""

    side: Side
    namespace: str
    uid: str
    name: str
    leaving: bool = False
    counters: Mapping[str, Any] | None = None
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Tally:
    """Sums of one service while pods are added up."""

    sides: dict[str, dict[Side, Count]] = field(default_factory=dict)
    shadows: dict[str, dict[Side, Count]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    unseen: set[str] = field(default_factory=set)
    restarted: bool = False


class EnvoyProvider:
    """Reads `GET /counters` of each waypoint's agent; deltas by cursor, per pod uid."""

    def __init__(self, source: Kubernetes, target: Kubernetes, clock: Clock) -> None:
        self._clusters = {Side.SOURCE: source, Side.TARGET: target}
        self._clock = clock

    async def read(self, routes: Sequence[Route], cursor: Cursor) -> Look:
        """One look at the services of `routes`; a namespace with a pod that cannot be read is NoData as a whole."""
        namespaces = sorted({route.service.namespace for route in routes})
        asked = [self._scrape(side, namespace) for namespace in namespaces for side in Side]
        scrapes = [scrape for group in await asyncio.gather(*asked) for scrape in group]
        return digest(
            routes, scrapes, cursor, at=self._clock.now(), names={side: k.name for side, k in self._clusters.items()}
        )

    async def _scrape(self, side: Side, namespace: str) -> list[Scrape]:
        k8s = self._clusters[side]
        try:
            pods = await waypoints(k8s, namespace)
        except LandbridgeError as error:
            return [Scrape(side=side, namespace=namespace, uid="", name="pods", problem=error.what)]
        return list(await asyncio.gather(*(self._ask(side, pod) for pod in pods)))

    async def _ask(self, side: Side, pod: Manifest) -> Scrape:
        meta = pod["metadata"]
        known: dict[str, Any] = {
            "side": side,
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "name": meta["name"],
            "leaving": bool(meta.get("deletionTimestamp")),
        }
        try:
            answer = await self._clusters[side].proxy(meta["name"], meta["namespace"], PORT, "/counters")
            return Scrape(**known, counters=_checked(json.loads(answer)))
        except LandbridgeError as error:
            return Scrape(**known, problem=error.what)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Scrape(**known, problem=f"counters that cannot be read: {error}")


async def waypoints(k8s: Kubernetes, namespace: str) -> list[Manifest]:
    """The waypoint pods of a namespace that can be asked, also those that leave."""
    pods = await k8s.list(POD, namespace, labels=WAYPOINTS)
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]


def _checked(counters: Any) -> Mapping[str, Any]:
    """The answer, if it has the shape that is agreed on."""
    float(counters["at"])
    float(counters["envoy_start"])
    for route in counters["routes"].values():
        for backend in _counted(route).values():
            int(backend["total"])
            int(backend["bad"])
            {str(bound): int(n) for bound, n in (backend.get("slower_ms") or {}).items()}
    checked: Mapping[str, Any] = counters
    return checked


def digest(
    routes: Sequence[Route], scrapes: Iterable[Scrape], cursor: Cursor, *, at: float, names: Mapping[Side, str]
) -> Look:
    """From answers to a look; pure. `names` are the clusters' names, which are the strata."""
    scrapes = list(scrapes)
    readings: dict[ServiceId, Reading | NoData] = {}
    following: Cursor = dict(cursor)
    for namespace in sorted({route.service.namespace for route in routes}):
        here = [s for s in scrapes if s.namespace == namespace]
        services = {route.service for route in routes if route.service.namespace == namespace}
        why = _unreadable(here)
        if why:
            readings |= {service: NoData(service=service, reason=why) for service in services}
            continue
        tallies = {service: Tally() for service in services}
        for scrape in here:
            if scrape.counters is not None:
                following[scrape.uid] = _add(tallies, scrape, scrape.counters, cursor.get(scrape.uid), names)
        _forget_gone(following, here, namespace, tallies)
        readings |= {service: _reading(service, tally) for service, tally in tallies.items()}
    return Look(at=at, cursor=following, readings=readings)


def _unreadable(here: Sequence[Scrape]) -> str:
    """Why a namespace cannot be judged at this look."""
    if not here:
        return "no waypoint is running"
    return "; ".join(f"{s.name}: {s.problem}" for s in here if s.problem and not s.leaving)


def _add(
    tallies: Mapping[ServiceId, Tally],
    scrape: Scrape,
    counters: Mapping[str, Any],
    last: Mapping[str, int] | None,
    names: Mapping[Side, str],
) -> dict[str, int]:
    """Add what one pod counted since the last look; its part of the new cursor."""
    now = {_AT: int(float(counters["at"]) * 1000), _START: int(float(counters["envoy_start"]) * 1000)}
    same = last is not None and _is_same(last, now)
    if last is not None and same:
        now[_START] = last[_START]
    if last is not None and same and now[_AT] <= last.get(_AT, 0):
        _note_weights(tallies, scrape, counters)
        return dict(last)  # the same answer again, or one that was overtaken: it counts nothing
    _note_weights(tallies, scrape, counters)
    reset = last is not None and not same
    for key, route in counters["routes"].items():
        namespace, name, _ = key.split("/")
        tally = tallies.get(ServiceId(namespace, name))
        if tally is not None:
            tally.restarted |= reset
        for backend, counts in _counted(route).items():
            names_of = {w: prefix_uid(namespace, f"{key} {backend} {w}") for w, _ in _flat(counts)}
            past = {} if last is None or reset else {w: last.get(known, 0) for w, known in names_of.items()}
            delta, again = _since(dict(_flat(counts)), past)
            now |= {known: past.get(w, 0) * (not again) + delta[w] for w, known in names_of.items()}
            if tally is None or last is None:
                continue
            of, copied, _ = backend.partition(COPIED)
            tally.restarted |= again and not copied  # copies' counts go with their listener, when it has drained
            side = _side(scrape.side, name, of if of != NOBODY else _heaviest(route))
            sides = (tally.shadows if copied else tally.sides).setdefault(names[scrape.side], {})
            sides[side] = _plus(sides.get(side, Count()), delta)
    return now


def _is_same(last: Mapping[str, int], now: Mapping[str, int]) -> bool:
    """Whether this is the Envoy of the last look.

    Where nobody has a core to spare, an answer is late and the start that it tells seems to have moved by seconds. An
    Envoy that has run for longer than since the last look was not started since: what it counted is no news.
    """
    moved = abs(now[_START] - last.get(_START, 0)) >= SAME_START
    return not moved or now[_AT] - now[_START] > now[_AT] - last.get(_AT, 0) + SAME_START


def _since(counts: Mapping[str, int], past: Mapping[str, int]) -> tuple[dict[str, int], bool]:
    """What was added since, and whether the same Envoy counts from zero again, as for a listener that was made anew.

    Counts of connections are differences of what is read while it changes: a few less than before are no new start.
    """
    again = any(n + SHORT < past.get(w, 0) for w, n in counts.items())
    delta = {w: max(0, n - (0 if again else past.get(w, 0))) for w, n in counts.items()}
    return delta | {"bad": min(delta["bad"], delta["total"])}, again


def _counted(route: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What is counted by backend, and beside it, under another name, what is compared while some is copied."""
    beside = {f"{backend}{COPIED}": counts for backend, counts in (route.get("shadow") or {}).items()}
    return {**route["backends"], **({NOBODY: route["nobody"]} if "nobody" in route else {}), **beside}


def _heaviest(route: Mapping[str, Any]) -> str:
    """The backend to blame for a connection that nobody took: Envoy does not say for whom it was drawn."""
    weights: Mapping[str, int] = route.get("weights") or {}
    return max(weights, key=weights.__getitem__, default="")


def _side(here: Side, service: str, backend: str) -> Side:
    return here if backend == f"{service}-leaf" else here.other


def _note_weights(tallies: Mapping[ServiceId, Tally], scrape: Scrape, counters: Mapping[str, Any]) -> None:
    """What the pod obeys for each service, and whether it sees the target; of several ports one that is off matters."""
    for key, route in counters["routes"].items():
        namespace, name, port = key.split("/")
        if tally := tallies.get(ServiceId(namespace, name)):
            weights = route.get("weights") or {}
            tally.weights[f"{scrape.name}:{port}"] = _percent(weights, name, scrape.side)
            leaf = f"{name}-leaf"
            target = {leaf} if scrape.side is Side.TARGET else set(weights) - {leaf}
            if target and target <= set(route.get("empty") or ()):
                tally.unseen.add(f"{scrape.name}:{port}")


def prefix_uid(namespace: str, series: str) -> str:
    """The key of a series in the cursor; it begins with its namespace, so that gone pods can be told apart."""
    return f"{namespace}|{series}"


def _flat(counts: Mapping[str, Any]) -> list[tuple[str, int]]:
    slower = [(f"slower:{bound}", int(n)) for bound, n in (counts.get("slower_ms") or {}).items()]
    return [("total", int(counts["total"])), ("bad", int(counts["bad"])), *slower]


def _plus(count: Count, delta: Mapping[str, int]) -> Count:
    buckets = dict(count.buckets)
    for what, n in delta.items():
        if what.startswith("slower:"):
            bound = what.removeprefix("slower:")
            buckets[bound] = buckets.get(bound, 0) + n
    return Count(n=count.n + delta["total"], bad=count.bad + delta["bad"], buckets=buckets)


def _percent(weights: Mapping[str, Any], service: str, side: Side) -> int:
    """The target's percent that a waypoint obeys; a waypoint without weights sends everything to its own side."""
    total = sum(int(w) for w in weights.values())
    local = int(weights.get(f"{service}-leaf", 0))
    share = 100 * local // total if total else 100
    return share if side is Side.TARGET else 100 - share


def _forget_gone(cursor: Cursor, here: Sequence[Scrape], namespace: str, tallies: Mapping[ServiceId, Tally]) -> None:
    """A pod that is gone took with it what it had counted since the last look."""
    seen = {scrape.uid for scrape in here}
    for uid in [u for u, series in cursor.items() if u not in seen]:
        mine = [key for key in cursor[uid] if key.startswith(f"{namespace}|")]
        if mine:
            del cursor[uid]
            for service, tally in tallies.items():
                tally.restarted |= any(key.startswith(f"{namespace}|{service}/") for key in mine)


def _reading(service: ServiceId, tally: Tally) -> Reading | NoData:
    if not tally.weights:
        return NoData(service=service, reason="no waypoint knows this service yet")
    return Reading(
        service=service,
        counts=tally.sides,
        weights=tally.weights,
        unseen=tuple(sorted(tally.unseen)),
        shadows=tally.shadows,
        restarted=tally.restarted,
    )
