"""A gateway as Envoy resources: one door, and behind it one filter chain for each exported port and way of speaking.

A caller names what it wants by SNI and proves who it is by certificate; what is not exported has no chain and is
refused before any byte is read. Everything goes to the leaf's endpoints, so two clusters can never send to each other
in a circle. Chains are never changed, only added and taken away: Envoy then leaves the others alone (waypoint 13.12).
"""

from __future__ import annotations

from landbridge.envoy.clusters import TCP_KEEPALIVE
from landbridge.envoy.http import (
    CLIENT_HEADER,
    EMPTY_HEADER,
    PROTOCOL_HEADER,
    connection_manager,
    header,
    health_check,
)
from landbridge.envoy.names import IDENTITY_SECRET, TRUST_SECRET, Json, Places, secret, typed
from landbridge.envoy.state import Export, Gateway, sni
from landbridge.envoy.waypoint import address
from landbridge.model.service import Protocol

NOBODY = "spiffe://nobody.invalid"
"""Stands for an empty list of callers: Envoy takes an empty list for `anybody`."""


def frame(bind: str, port: int) -> Json:
    """The door, the listener that others come in by, without what is behind it; Envoy refuses one without chains."""
    inspector = typed("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector")
    return {
        "name": "gateway",
        "address": address(bind, port),
        "tcp_keepalive": TCP_KEEPALIVE,
        "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": inspector}],
        "filter_chains": [],
    }


def exports(state: Gateway) -> list[Export]:
    """What is exported, in a stable order."""
    return sorted(state.exports, key=lambda item: (item.namespace, item.service, item.port))


def chains(item: Export, cluster: str, allowed: tuple[str, ...], places: Places) -> list[Json]:
    """What is behind the door for one export; its endpoints do not matter, for they are its clusters'."""
    name = sni(item.service, item.namespace, cluster, item.port)
    own = _of_namespace(allowed, item.namespace)
    found = [
        _chain(f"tcp.{name}", (), _tcp_proxy(item), own, places),
        _chain(f"health.{name}", ("h2",), _health(item), allowed, places),
    ]
    if item.protocol is not Protocol.TCP:
        found.append(_chain(name, ("h2",), _requests(item, cluster), own, places))
    return found


def _of_namespace(allowed: tuple[str, ...], namespace: str) -> tuple[str, ...]:
    """Who may call a Service: the waypoint of the same namespace over there, which has looked at who calls it. Its
    mirror is nowhere else.
    """
    return tuple(name for name in allowed if f"/ns/{namespace}/" in name)


def _chain(name: str, alpn: tuple[str, ...], network_filter: Json, allowed: tuple[str, ...], places: Places) -> Json:
    return {
        "name": name,
        "filter_chain_match": {"server_names": [name]},
        "transport_socket": _mutual_tls(alpn, allowed, places),
        "filters": [network_filter],
    }


def _mutual_tls(alpn: tuple[str, ...], allowed: tuple[str, ...], places: Places) -> Json:
    exact = [{"san_type": "URI", "matcher": {"exact": name}} for name in sorted(allowed) or [NOBODY]]
    common = {
        "alpn_protocols": list(alpn),
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [secret(IDENTITY_SECRET, places)],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": exact},
            "validation_context_sds_secret_config": secret(TRUST_SECRET, places),
        },
    }
    kind = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return {"name": "tls", "typed_config": typed(kind, require_client_certificate=True, common_tls_context=common)}


def _requests(item: Export, cluster: str) -> Json:
    routes = [
        _route(item, cluster, "http2", {"name": PROTOCOL_HEADER, "string_match": {"exact": "HTTP/2"}}),
        _route(item, cluster, "http1"),
    ]
    host = {"name": "all", "domains": ["*"], "routes": routes}
    manager = connection_manager(
        "gateway",
        [],
        route_config={"name": item.key, "virtual_hosts": [host]},
        local_reply_config={"mappers": [_say_empty()]},
    )
    # the waypoint asks us every 5 s already; this only finds connections of waypoints that are gone
    manager["typed_config"]["http2_protocol_options"]["connection_keepalive"] = {"interval": "30s", "timeout": "10s"}
    return manager


def _route(item: Export, cluster: str, version: str, spoken: Json | None = None) -> Json:
    """Nothing but safe retries, within the leaf: what a pod answers is what the caller gets."""
    hosts = typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate")
    route: Json = {
        "cluster": f"{item.key}|{version}",
        "timeout": "0s",
        "idle_timeout": "0s",
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream,reset-before-request",
            "num_retries": 3,
            "retry_back_off": {"base_interval": "0.010s", "max_interval": "0.1s"},
            "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": hosts}],
            "host_selection_retry_max_attempts": 5,
        },
    }
    if item.affinity:
        route["hash_policy"] = [{"header": {"header_name": CLIENT_HEADER}}]
    hop = {"request_headers_to_add": [header(item.hop_header, cluster, append=True)]} if item.hop_header else {}
    return {
        "match": {"prefix": ""} | ({"headers": [spoken]} if spoken else {}),
        "route": route,
        **hop,
        "request_headers_to_remove": [PROTOCOL_HEADER, CLIENT_HEADER],
        "response_headers_to_remove": [EMPTY_HEADER],
    }


def _say_empty() -> Json:
    mark = {"header": {"key": EMPTY_HEADER, "value": "true"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"filter": {"response_flag_filter": {"flags": ["UH"]}}, "headers_to_add": [mark]}


def _tcp_proxy(item: Export) -> Json:
    config = typed(
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="gateway",
        cluster=f"{item.key}|tcp",
        idle_timeout="0s",
        max_connect_attempts=3,
        **({"hash_policy": [{"source_ip": {}}]} if item.affinity else {}),
    )
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def _health(item: Export) -> Json:
    """200 while the leaf has an endpoint, decided by Envoy from its clusters: it needs no agent to tell the truth."""
    table: Json = {"name": "none", "virtual_hosts": [{"name": "none", "domains": ["*"], "routes": []}]}
    return connection_manager("health", [health_check("/", (f"{item.key}|tcp",))], route_config=table)
