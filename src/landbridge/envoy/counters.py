"""From Envoy's statistics to numbers per route and side: what ended, what was bad, what is open, how slow it was.

The tags of our access loggers (http.py) say for each ended request whom it was drawn for, who answered and how it
ended; what counts as bad is decided here. Requests are counted when they end, good and bad alike, so bad can never
exceed total. A request that the drawn side could not take because it was empty or unreachable counts for the side that
answered, and apart as a fallback of the side that did not. What was sent by header counts nowhere: it is no sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote

from landbridge.envoy.http import ASKED, COPY, OF, SAFE
from landbridge.envoy.names import CLUSTERS_FILE, IDENTITY_FILE, LISTENERS_FILE, ROUTES, ROUTES_FILE, TRUST_FILE
from landbridge.envoy.state import Waypoint

Stats = Mapping[str, Any]
"""What `/stats?format=json` answers."""

SERVER_FAULTS = frozenset({2, 4, 12, 13, 14, 15})
"""gRPC statuses that are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED (a copy without the method),
INTERNAL, UNAVAILABLE, DATA_LOSS. The others are about the request (INVALID_ARGUMENT, NOT_FOUND, ...) or its sender's
share (RESOURCE_EXHAUSTED), as 4xx are."""
UPSTREAM_FAULTS = frozenset({"UF", "UH", "UO", "UC", "UR", "URX", "UT", "UPE", "UMSDR", "NC", "LR", "LH"})
"""Envoy's response flags for: no connection, nobody healthy, overflow, cut, reset, out of retries, broken protocol."""
CLIENT_LEFT = frozenset({"DC", "DR"})
SWITCHED_PROTOCOLS = 101
"""The end of a WebSocket is often a cut connection and nobody's fault."""
_COUNTERS = r"^landbridge[.]|[|][^.]*[.](upstream_rq_active|membership_healthy)$"
HEALTHY = ".membership_healthy"
_HEALTH = r"[|][^.]*[.]membership_(healthy|total)$"
_WARMING = ("cluster_manager.warming_clusters", "listener_manager.total_listeners_warming")
_VERSIONS = rf"version_text$|[.]update_rejected$|[.]update_failure$|^{'$|^'.join(_WARMING)}$"
_OVERFLOWS = r"_overflow$"
_COPIES = "|shadow."
_FILES = {
    "cluster_manager.cds": CLUSTERS_FILE,
    f"http.waypoint.rds.{ROUTES}": ROUTES_FILE,
    "listener_manager.lds": LISTENERS_FILE,
    "sds.identity": IDENTITY_FILE,
    "sds.trust": TRUST_FILE,
}
_TAGS = re.compile(r"[.](by|code|flags|grpc|of|route|silent|to|type)[.]")


def _path(pattern: str, more: str = "") -> str:
    return f"/stats?format=json{more}&filter={quote(pattern)}"


COUNTERS_PATH = _path(_COUNTERS, "&usedonly&histogram_buckets=cumulative")
"""The admin path whose answer `counters()` reads: about 150 bytes for each way in which requests have ended."""
HEALTH_PATH, VERSIONS_PATH, OVERFLOWS_PATH = _path(_HEALTH), _path(_VERSIONS), _path(_OVERFLOWS, "&usedonly")


class BackendCounters(TypedDict):
    """One side of a route, cumulative since Envoy's start; `active` is now; `slower_ms` maps an edge to a count.

    `silent` counts connections that ended without a byte from the server; only some of them are bad.
    """

    total: int
    bad: int
    active: int
    fallbacks: int
    silent: int
    slower_ms: dict[str, int]


Tally = dict[str, BackendCounters]


class RouteCounters(TypedDict):
    """One listener of a waypoint.

    `nobody` has the connections that failed before anybody took them: Envoy does not say for whom they were drawn.
    `shadow` is there once requests were copied: the copies by the side that they went to, and beside them the safe
    requests (all those that may be copied) by the side that answered, which `backends` has too. `empty` names the
    backends of which Envoy knows nobody who answers now, if there are any: their share goes to the others.
    """

    protocol: str
    weights: dict[str, int]
    backends: dict[str, BackendCounters]
    nobody: NotRequired[BackendCounters]
    shadow: NotRequired[dict[str, BackendCounters]]
    empty: NotRequired[list[str]]


def counters(stats: Stats, state: Waypoint) -> dict[str, RouteCounters]:
    """The routes of `GET /counters`, from the answer to COUNTERS_PATH; what never happened is 0.

    For TCP the unit is the connection: `total` those opened and those that failed, `bad` those that failed or, asked
    for something, ended within 5 s without a byte. On an HTTP port, connections that turned out not to be HTTP are
    counted in the same way beside the requests. Read twice before the first histogram of a side appears.
    """
    routes: dict[str, RouteCounters] = {
        item.key: {
            "protocol": item.protocol.value,
            "weights": {backend.service: backend.weight for backend in item.backends},
            "backends": {backend.service: _nothing() for backend in item.backends},
        }
        for item in state.listeners
    }
    for name, value in _values(stats):
        _add(routes, name, value)
    for name, buckets, slowest in _histograms(stats):
        slower = {f"{edge:g}": slowest - count for edge, count in buckets}
        for tally in _tallies(routes, tags := _tags(name)):
            if (found := _side(tally, tags, "by")) is not None:
                counted = found["slower_ms"]
                found["slower_ms"] = {edge: counted.get(edge, 0) + count for edge, count in slower.items()}
    return routes


def is_bad(code: int, flags: Iterable[str], grpc: int | None) -> bool:
    """Whether an ended request failed by the server's fault; `code` 0 means that no answer ever began."""
    raised = frozenset(flags)
    if raised & CLIENT_LEFT and code < 500:
        return False
    if grpc is not None and grpc in SERVER_FAULTS:
        return True
    return code >= 500 or (code != SWITCHED_PROTOCOLS and bool(raised & UPSTREAM_FAULTS))


def acknowledged(stats: Stats) -> dict[str, str]:
    """File name -> the version Envoy obeys, from the answer to VERSIONS_PATH.

    A file that nothing subscribes to yet is missing: routes before the first HTTP listener, secrets before the first
    cluster with a remote side. That a listener is active proves nothing (waypoint 13.3).
    """
    seen = dict(_texts(stats))
    versions = {file: seen.get(f"{name}.version_text") for name, file in _FILES.items()}
    return {file: version for file, version in versions.items() if version is not None}


def warming(stats: Stats) -> dict[str, int]:
    """How many clusters and listeners are not ready yet, by the file they come from; answer to VERSIONS_PATH."""
    seen = dict(_values(stats))
    return {file: seen.get(name, 0) for name, file in zip(_WARMING, (CLUSTERS_FILE, LISTENERS_FILE), strict=True)}


def refused(stats: Stats) -> dict[str, int]:
    """File name -> how often Envoy refused its content or could not read it, since its start."""
    seen = dict(_values(stats))
    counts = {
        file: seen.get(f"{name}.update_rejected", 0) + seen.get(f"{name}.update_failure", 0)
        for name, file in _FILES.items()
    }
    return {file: count for file, count in counts.items() if count}


def health(stats: Stats) -> dict[str, dict[str, tuple[int, int]]]:
    """Route -> backend -> (healthy endpoints, all endpoints), from the answer to HEALTH_PATH.

    Of a remote backend the endpoints are the gateways; healthy are those that say that this service has somebody to
    answer it: what a mirror's readiness is made of (waypoint 10).
    """
    seen = {name: value for name, value in _values(stats) if name.startswith("cluster.")}
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for name, total in seen.items():
        route, _, rest = name.removeprefix("cluster.").partition("|")
        backend, _, stat = rest.partition(".")
        if stat == "membership_total" and "|" not in backend and backend != "tcp":
            healthy = seen.get(name.replace("membership_total", "membership_healthy"), 0)
            found.setdefault(route, {})[backend] = (healthy, total)
    return found


def overflows(stats: Stats) -> dict[str, int]:
    """Circuit breakers that said no, which must never happen (waypoint 9) but to copies: name -> how often."""
    return {name: value for name, value in _values(stats) if value and _COPIES not in name}


def _nothing() -> BackendCounters:
    return {"total": 0, "bad": 0, "active": 0, "fallbacks": 0, "silent": 0, "slower_ms": {}}


def _add(routes: dict[str, RouteCounters], name: str, value: int) -> None:
    tags = _tags(name)
    match name.split(".", 2)[:2]:
        case ["cluster", _] if name.endswith(HEALTHY):
            _add_empty(routes, name, value)
        case ["cluster", _]:
            _add_active(routes, name, value)
        case ["landbridge", "rq"]:
            for tally in _tallies(routes, tags):
                _add_requests(tally, tags, value)
        case ["landbridge", "left"]:
            for tally in _tallies(routes, tags):
                if (side := _side(tally, tags, "by") or _side(tally, tags, "to")) is not None:
                    side["bad"] += value
        case ["landbridge", "cx"]:
            _add_connections(routes, tags, value)
        case ["landbridge", "cx_open"]:
            if (side := _side(_backends(routes, tags), tags, "by")) is not None:
                side["active"] += value
                side["total"] += value
                side["bad"] += value
        case _:
            pass


def _backends(routes: dict[str, RouteCounters], tags: dict[str, str]) -> Tally:
    route = routes.get(tags.get("route", ""))
    return route["backends"] if route else {}


def _tallies(routes: dict[str, RouteCounters], tags: dict[str, str]) -> list[Tally]:
    """What a request is counted in: with all others, beside the copies, or nowhere."""
    route, of = routes.get(tags.get("route", "")), tags.get(OF)
    if route is None or of == ASKED:
        return []
    if of not in {SAFE, COPY}:
        return [route["backends"]]
    beside = route.setdefault("shadow", {service: _nothing() for service in route["backends"]})
    return [beside] if of == COPY else [route["backends"], beside]


def _add_requests(tally: Tally, tags: dict[str, str], value: int) -> None:
    drawn, answered, flags = _side(tally, tags, "to"), _side(tally, tags, "by"), tags["flags"].split(",")
    if drawn is None:
        return
    side = answered or drawn
    if answered is not None and answered is not drawn:
        drawn["fallbacks"] += value
    side["total"] += value
    cut = tags.get(OF) == COPY and "UT" in flags  # by our own limit for copies: slow, and not bad
    if not cut and is_bad(_number(tags["code"]) or 0, flags, _number(tags["grpc"])):
        side["bad"] += value


def _add_connections(routes: dict[str, RouteCounters], tags: dict[str, str], value: int) -> None:
    """Failed connections end without ever having been opened: failed = ended + open now - opened.

    `total` = opened + failed = ended + open now. A failed one leaves no other trace: Envoy's flag UF stays on a
    connection whose second attempt succeeded.
    """
    route, flags = routes.get(tags.get("route", "")), tags["flags"].split(",")
    if route is None:
        return
    side = _side(route["backends"], tags, "by") or route.setdefault("nobody", _nothing())
    if tags["type"] == "TcpUpstreamConnected":
        side["bad"] -= value
        side["fallbacks"] += value if "UF" in flags else 0
    else:
        side["bad"] += 2 * value if tags["silent"] == "asked" and "UF" not in flags else value
        side["total"] += value
        side["silent"] += value if tags["silent"] != "no" else 0


def _add_active(routes: dict[str, RouteCounters], name: str, value: int) -> None:
    cluster = name.removeprefix("cluster.").removesuffix(".upstream_rq_active")
    side = _side(_backends(routes, {"route": cluster.partition("|")[0]}), {"to": cluster}, "to")
    if side is not None and cluster.count("|") == 1:
        side["active"] += value


def _add_empty(routes: dict[str, RouteCounters], name: str, healthy: int) -> None:
    route, _, service = name.removeprefix("cluster.").removesuffix(HEALTHY).partition("|")
    if not healthy and route in routes and service in routes[route]["backends"]:
        routes[route].setdefault("empty", []).append(service)


def _side(tally: Tally, tags: dict[str, str], which: str) -> BackendCounters | None:
    text = tags.get(which, "")
    return tally.get(text.split("|")[1] if "|" in text else text)


def _tags(name: str) -> dict[str, str]:
    _, *pieces = _TAGS.split(name)
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _values(stats: Stats) -> Iterator[tuple[str, int]]:
    for stat in stats["stats"]:
        if isinstance(stat.get("value"), int):
            yield stat["name"], stat["value"]


def _texts(stats: Stats) -> Iterator[tuple[str, str]]:
    for stat in stats["stats"]:
        if isinstance(stat.get("value"), str):
            yield stat["name"], stat["value"]


def _histograms(stats: Stats) -> Iterator[tuple[str, list[tuple[float, int]], int]]:
    """Name, cumulative counts up to each edge in ms, and the count of all."""
    for stat in stats["stats"]:
        for histogram in stat.get("histograms", ()) if isinstance(stat.get("histograms"), list) else ():
            buckets = [(bucket["upper_bound"], bucket["cumulative"]) for bucket in histogram["buckets"]]
            if histogram["name"].startswith("landbridge.ms.") and buckets:
                yield histogram["name"], buckets, buckets[-1][1]
