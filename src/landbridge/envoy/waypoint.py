"""A waypoint as Envoy resources: one immutable listener for each Service and port, and one route table for all.

Every subscription to a file costs Envoy an inotify instance, of which a uid has 128 on a node. So all HTTP listeners
name the same route configuration (Envoy then subscribes once), and the route is looked up in a hash map by a key
that each listener leaves in the connection's filter state: nothing depends on the Host header, and 409 services cost
what one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from landbridge.envoy import shadow
from landbridge.envoy.binary import encode
from landbridge.envoy.callers import chosen
from landbridge.envoy.clusters import TCP_KEEPALIVE
from landbridge.envoy.header import FILTER_STATE_INPUT, PEER, PEER_ADDRESS, action, leave, on_match
from landbridge.envoy.http import (
    CLIENT_HEADER,
    EMPTY_HEADER,
    FORWARDED_HEADER,
    PROTOCOL_HEADER,
    SIDE_HEADER,
    connection_manager,
    count_connections,
    count_requests,
    header,
    health_check,
)
from landbridge.envoy.names import (
    ROUTES,
    ROUTES_FILE,
    Json,
    Places,
    either_name,
    shadow_name,
    side_name,
    tcp_name,
    typed,
    watched,
)
from landbridge.envoy.state import Backend, Listener, Waypoint, by_key
from landbridge.model.service import Protocol

READY_PORT = 15021
INSPECTOR_TIMEOUT = "0.3s"
"""How long a caller may be silent before its connection counts as not HTTP: a server-first banner waits this long."""
SAFE_RETRY = "connect-failure,refused-stream,reset-before-request,retriable-headers"
"""Only what reached nobody is tried again, so nothing runs twice (envoy.md 3)."""
FULL_RETRY = f"{SAFE_RETRY},reset,gateway-error"
ROUTE_KEY = "landbridge.route"
"""The filter state in which a listener leaves its key for the route table."""
ON_MATCH = "xds.type.matcher.v3.Matcher.OnMatch"
NO_HOST = "\u0001"
"""Cannot be a Host: Envoy answers 400 to control characters in a header."""


def routes(state: Waypoint) -> Json:
    """The one route configuration: weights live here, a change reaches no listener and no connection.

    `validate_clusters`: without it a route to a cluster that is not there is accepted and answers 503. Envoy 1.40
    checks plain routes only and not those in a matcher, so all clusters are named again in a host that nobody can ask
    for.
    """
    requests = [item for item in by_key(state.listeners) if item.protocol is not Protocol.TCP]
    off = [SIDE_HEADER, FORWARDED_HEADER]
    made: Json = {"name": ROUTES, "validate_clusters": True, "request_headers_to_remove": off}
    if not requests:
        return made | {"virtual_hosts": [{"name": "all", "domains": ["*"]}]}
    by = {"name": "listener", "typed_config": typed(FILTER_STATE_INPUT, key=ROUTE_KEY)}
    tree = {"input": by, "exact_match_map": {"map": dict(part for item in requests for part in _table(item))}}
    names = sorted({name for item in requests for name in _named(item)})
    known = {"weighted_clusters": {"clusters": [{"name": name, "weight": 1} for name in names]}}
    split = {"name": "all", "domains": ["*"], "matcher": {"matcher_tree": tree}}
    check = {"name": "known", "domains": [NO_HOST], "routes": [{"match": {"prefix": ""}, "route": known}]}
    return made | {"virtual_hosts": [split, check]}


def ready(bind: str) -> Json:
    """The readiness port: delivered with the other listeners, so it answers only when they are configured.

    `/healthcheck/fail` makes it answer 503, which takes the pod out of the slices before it drains (waypoint 13.4).
    """
    table: Json = {"name": "ready", "virtual_hosts": [{"name": "none", "domains": ["*"], "routes": []}]}
    manager = connection_manager("ready", [health_check("/ready")], route_config=table)
    return {"name": "ready", "address": address(bind, READY_PORT), "filter_chains": [{"filters": [manager]}]}


def address(bind: str, port: int) -> Json:
    """A listening address; `::` takes IPv4 as well."""
    socket: Json = {"address": bind, "port_value": port}
    return {"socket_address": socket | ({"ipv4_compat": True} if bind == "::" else {})}


def listener(item: Listener, bind: str, places: Places) -> Json:
    """One listener: nothing in it changes with weights, endpoints, identities or retries, and in its chains nothing at
    all. Whose connections it takes stands beside the chains, where a change reaches no connection.
    """
    plain = {"name": "tcp", "filters": [_tcp_proxy(item)]}
    http = item.protocol is not Protocol.TCP
    made: Json = {
        "name": item.key,
        "address": address(bind, item.listen),
        "tcp_keepalive": TCP_KEEPALIVE,
        "filter_chain_matcher": chosen(item.callers, http=http),
    }
    if not http:
        return made | {"filter_chains": [plain]}
    inspector = typed("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector")
    return made | {
        "listener_filters": [{"name": "envoy.filters.listener.http_inspector", "typed_config": inspector}],
        "listener_filters_timeout": INSPECTOR_TIMEOUT,
        "continue_on_listener_filters_timeout": True,
        "filter_chains": [
            {"name": "http", "filters": [leave((ROUTE_KEY, item.key), (PEER, PEER_ADDRESS)), _http(item, places)]},
            plain,
        ],
    }


def inside(item: Listener, places: Places) -> Json | None:
    """The listener inside Envoy through which the copies of a port's requests go; None where nothing is copied."""
    return shadow.listener(item, ROUTE_KEY, _rds(places)) if item.shadow else None


def _rds(places: Places) -> Json:
    return {"route_config_name": ROUTES, "config_source": watched(ROUTES_FILE, places)}


def _http(item: Listener, places: Places) -> Json:
    manager = connection_manager("waypoint", [], rds=_rds(places), access_log=count_requests(item.key))
    manager["typed_config"]["http_protocol_options"]["default_host_for_http_10"] = f"{item.service}.{item.namespace}"
    return manager


def _tcp_proxy(item: Listener) -> Json:
    config = typed(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="waypoint",
        cluster=tcp_name(item.key),
        idle_timeout="0s",
        max_connect_attempts=3,
        access_log=count_connections(item.key),
        access_log_options={"flush_access_log_on_connected": True},
        **({"hash_policy": [{"source_ip": {}}]} if item.affinity else {}),
    )
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


@lru_cache(maxsize=1024)
def _table(item: Listener) -> tuple[tuple[str, bytes], ...]:
    """A port's entries in the route table, encoded: what its callers get, and the way of their copies."""
    route = _route(item)
    if item.shadow is None:
        return ((item.key, encode(ON_MATCH, on_match(item, [route]))),)
    name = shadow_name(item.key, item.shadow.service)
    routes = on_match(item, [shadow.copied(item, route), route])
    copies = action(name, shadow.ways(item, route))
    return (item.key, encode(ON_MATCH, routes)), (name, encode(ON_MATCH, copies))


def _named(item: Listener) -> list[str]:
    """All clusters that a port's routes name."""
    sides = [item.header.source, item.header.target] if item.header and item.header.trusted else []
    alone = [side_name(item.key, service) for service in sides]
    return [entry["name"] for entry in _split(item)] + alone + shadow.names(item)


def _route(item: Listener) -> Json:
    """What a caller of this port gets by the weights."""
    policy: Json = {"weighted_clusters": {"clusters": _split(item)}}
    route = policy | {"timeout": "0s", "idle_timeout": "0s", "retry_policy": _retry(item.full_retry)}
    if item.affinity:
        route["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
        route["weighted_clusters"]["use_hash_policy"] = True
    forwarded = header("x-forwarded-for", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", append=True)
    return typed(
        "envoy.config.route.v3.Route",
        name=item.key,
        match={"prefix": ""},
        route=route,
        request_headers_to_add=[forwarded],
    )


def _split(item: Listener) -> list[Json]:
    return [_weighted(item, backend) for backend in item.backends]


def _weighted(item: Listener, backend: Backend) -> Json:
    others = [other for other in item.backends if other is not backend]
    may_fall_back = bool(others) and all(other.weight > 0 or other.fallback for other in others)
    name = (either_name if may_fall_back else side_name)(item.key, backend.service)
    headers = [header(PROTOCOL_HEADER, "%PROTOCOL%")]
    if item.affinity:
        headers.append(header(CLIENT_HEADER, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"))
    remote = {"request_headers_to_add": headers} if backend.remote is not None else {}
    return {"name": name, "weight": backend.weight} | remote


def _retry(full: bool) -> Json:
    """Two tries on the side that was drawn, then two on the other if it may be used."""
    hosts = typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
    priorities = typed(
        "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", update_frequency=2
    )
    predicates: Sequence[Json] = [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": hosts}]
    return {
        "retry_on": FULL_RETRY if full else SAFE_RETRY,
        "num_retries": 3,
        "retriable_headers": [{"name": EMPTY_HEADER, "present_match": True}],
        "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.1s"},
        "retry_host_predicate": predicates,
        "host_selection_retry_max_attempts": 5,
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": priorities},
    }
