"""From the state that is wanted to the files that Envoy reads, in the order in which they have to be written.

What one listener or export gives is encoded once and kept: a change of one weight among 409 services renders one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from landbridge.envoy import gateway, shadow, waypoint
from landbridge.envoy.binary import encode
from landbridge.envoy.clusters import leaf_clusters, listener_clusters, seconds_between_questions
from landbridge.envoy.discovery import join, resource, split
from landbridge.envoy.names import (
    CLUSTERS_FILE,
    IDENTITY_FILE,
    IDENTITY_SECRET,
    LISTENERS_FILE,
    ROUTES_FILE,
    TRUST_FILE,
    TRUST_SECRET,
    Json,
    Places,
    tcp_name,
)
from landbridge.envoy.state import Export, Gateway, Listener, Waypoint, by_key

File = tuple[str, bytes]
_CLUSTER = "envoy.config.cluster.v3.Cluster"
_ROUTE = "envoy.config.route.v3.RouteConfiguration"
_LISTENER = "envoy.config.listener.v3.Listener"
_SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type's name
_TCP = tcp_name("")


def files(state: Waypoint | Gateway, places: Places | None = None) -> tuple[File, ...]:
    """All files of a pod's Envoy as (name, content), in the order to write them: secrets, clusters, routes, listeners.

    Write each to a new file in the same folder and rename it; skip what has not changed. Listeners before routes
    made Envoy refuse the routes for good (waypoint 13.2); to go from one state to another use `steps`.
    """
    where = places or Places()
    match state:
        case Waypoint():
            return (*_secrets(where), *_waypoint(state, where))
        case Gateway():
            return (*_secrets(where), *_gateway(state, where))


def steps(previous: tuple[File, ...], wanted: tuple[File, ...]) -> tuple[File, ...]:
    """What to write, one file after another, to go from what lies there to what is wanted; () when it is the same.

    Wait for Envoy's acknowledgement after a file that names something new. Clusters that go are first kept beside those
    that come, and taken away last, when no route and no listener names them any more: a route to a missing cluster
    answers 503. Where only weights of connections differ among the clusters, the routes go first, for they are small.
    """
    before, after = dict(previous), dict(wanted)
    changed = [(name, content) for name, content in wanted if before.get(name) != content]
    if before.get(CLUSTERS_FILE) in (None, after[CLUSTERS_FILE]):
        return tuple(changed)
    had, has = split(before[CLUSTERS_FILE]), split(after[CLUSTERS_FILE])
    first: File = (CLUSTERS_FILE, after[CLUSTERS_FILE])
    last: tuple[File, ...] = ()
    if leaving := [content for name, content in had.items() if name not in has]:
        first, last = (CLUSTERS_FILE, join([*has.values(), *leaving])), (first,)
    elif _only_connections(had, has):
        return tuple(sorted(changed, key=lambda file: file[0] == CLUSTERS_FILE))
    return (*(first if file[0] == CLUSTERS_FILE else file for file in changed), *last)


def _only_connections(had: Mapping[str, bytes], has: Mapping[str, bytes]) -> bool:
    return had.keys() == has.keys() and all(had[name] == has[name] for name in has if not name.endswith(_TCP))


def _waypoint(state: Waypoint, where: Places) -> list[File]:
    items = by_key(state.listeners)
    listeners = [_ready(state.bind), *(_listener(item, state.bind, where) for item in items)]
    every = seconds_between_questions(items)
    inside = [made for item in items if (made := waypoint.inside(item, where))]
    listeners += [resource(_LISTENER, made) for made in inside]
    return [
        (CLUSTERS_FILE, join([part for item in items for part in _listener_clusters(item, where, every)])),
        (ROUTES_FILE, join([resource(_ROUTE, waypoint.routes(state))])),
        (LISTENERS_FILE, join(listeners)),
    ]


def _gateway(state: Gateway, where: Places) -> list[File]:
    items = gateway.exports(state)
    clusters = [part for item in items for part in _leaf_clusters(item)]
    behind = [_chains(replace(item, endpoints=()), state.cluster, state.allowed, where) for item in items]
    listeners = [_ready(state.bind), *([_door(state, behind)] if behind else [])]
    return [(CLUSTERS_FILE, join(clusters)), (LISTENERS_FILE, join(listeners))]


def _door(state: Gateway, behind: Sequence[bytes]) -> bytes:
    """The gateway's listener, of chains that are encoded already: 409 exports have 1.5 MB of them."""
    return resource(_LISTENER, b"".join([encode(_LISTENER, gateway.frame(state.bind, state.port)), *behind]))


@lru_cache(maxsize=4096)
def _chains(item: Export, cluster: str, allowed: tuple[str, ...], where: Places) -> bytes:
    return encode(_LISTENER, {"filter_chains": gateway.chains(item, cluster, allowed, where)})


@lru_cache(maxsize=2048)
def _listener_clusters(item: Listener, where: Places, every: int) -> tuple[bytes, ...]:
    made = [*listener_clusters(item, where, every), *shadow.clusters(item)]
    return tuple(resource(_CLUSTER, cluster) for cluster in made)


@lru_cache(maxsize=4096)
def _leaf_clusters(item: Export) -> tuple[bytes, ...]:
    return tuple(resource(_CLUSTER, cluster) for cluster in leaf_clusters(item))


@lru_cache(maxsize=2048)
def _listener(item: Listener, bind: str, where: Places) -> bytes:
    return resource(_LISTENER, waypoint.listener(item, bind, where))


@lru_cache(maxsize=4)
def _ready(bind: str) -> bytes:
    return resource(_LISTENER, waypoint.ready(bind))


@lru_cache(maxsize=4)
def _secrets(where: Places) -> tuple[File, File]:
    """Certificate and trust from the mounted Secret's folder; a change of the folder's link is seen at once."""
    folder = {"path": where.tls}
    identity: Json = {
        "name": IDENTITY_SECRET,
        "tls_certificate": {
            "certificate_chain": {"filename": f"{where.tls}/tls.crt"},
            "private_key": {"filename": f"{where.tls}/tls.key"},
            "watched_directory": folder,
        },
    }
    trust: Json = {
        "name": TRUST_SECRET,
        "validation_context": {"trusted_ca": {"filename": f"{where.tls}/ca.crt"}, "watched_directory": folder},
    }
    return (
        (IDENTITY_FILE, join([resource(_SECRET, identity)])),
        (TRUST_FILE, join([resource(_SECRET, trust)])),
    )
