"""What is rendered for a waypoint, whatever the state is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.envoy.clusters import FEW, OFTEN, RARE, UNLIMITED
from landbridge.envoy.names import CLUSTERS_FILE, LISTENERS_FILE, ROUTES_FILE
from landbridge.envoy.render import files
from landbridge.envoy.state import Backend, Endpoint, HeaderRoute, Listener, Shadow, Waypoint
from landbridge.model.service import Protocol
from tests.envoy.decoded import rendered
from tests.envoy.pair import Addresses, waypoint_state
from tests.envoy.states import WAYPOINTS, pure

GOLDEN = "66e70a85cd904735"
AT = Addresses("127.78.0")


def find(value: Any, key: str) -> Iterator[Any]:
    """Every value that stands under this key, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from find(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from find(inner, key)


def manager(state: Waypoint) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        config
        for config in find(rendered(state)[LISTENERS_FILE], "typed_config")
        if config["@type"].endswith("HttpConnectionManager") and config["stat_prefix"] == "waypoint"
    ]
    return found[0]


def test_rule_9_listeners_are_byte_stable_across_versions_of_the_agent() -> None:
    """A field more or less in a listener closes idle connections of everybody who updates: change it knowingly."""
    listeners = dict(files(waypoint_state(AT, 0)))[LISTENERS_FILE]
    assert hashlib.sha256(listeners).hexdigest()[:16] == GOLDEN


@pure
@given(WAYPOINTS, st.randoms())
def test_the_order_of_a_watch_changes_no_byte(state: Waypoint, order: Any) -> None:
    def shuffled(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(order.sample(items, len(items)))

    def stirred(item: Listener) -> Listener:
        here, there = item.backends
        assert here.local is not None
        return replace(item, backends=(replace(here, local=shuffled(here.local)), there))

    other = replace(state, listeners=shuffled(tuple(stirred(item) for item in state.listeners)))
    assert files(other) == files(state)


@pure
@given(WAYPOINTS)
def test_rule_9_listeners_are_immutable(state: Waypoint) -> None:
    def changed(item: Listener) -> Listener:
        here, there = item.backends
        assert there.remote is not None
        moved = replace(there.remote, identity="spiffe://new", gateways=(Endpoint(address="10.9.9.9", port=1),))
        sides = (replace(here, weight=7, local=()), replace(there, weight=3, remote=moved))
        return replace(item, backends=sides, full_retry=not item.full_retry, header=None, shadow=None)

    def outside(state: Waypoint) -> list[dict[str, Any]]:
        return [made for made in rendered(state)[LISTENERS_FILE] if "address" in made]

    after = replace(state, listeners=tuple(changed(item) for item in state.listeners))
    assert outside(after) == outside(state)
    assert rendered(after)[LISTENERS_FILE] == outside(after)


@pure
@given(WAYPOINTS)
def test_rule_13_1_no_endpoint_is_watched_and_all_routes_are_one(state: Waypoint) -> None:
    made = rendered(state)
    assert {cluster.get("type", "aggregate") for cluster in made[CLUSTERS_FILE]} <= {"STATIC", "aggregate"}
    assert not list(find(made, "eds_cluster_config"))
    assert len(made[ROUTES_FILE]) == 1
    assert made[ROUTES_FILE][0]["validate_clusters"] is True
    assert len({json.dumps(rds, sort_keys=True) for rds in find(made, "rds")}) <= 1


@pure
@given(WAYPOINTS)
def test_every_cluster_a_route_names_is_there_and_no_weight_is_lost(state: Waypoint) -> None:
    made = rendered(state)
    names = {cluster["name"] for cluster in made[CLUSTERS_FILE]}
    table: dict[str, Any] = next(find(made[ROUTES_FILE], "map"), {})
    requests = {item.key: item for item in state.listeners if item.protocol is not Protocol.TCP}
    copied = {f"{key}|{item.shadow.service}|shadow" for key, item in requests.items() if item.shadow}
    assert set(table) == set(requests) | copied
    for key, item in requests.items():
        for split in find(table[key], "weighted_clusters"):
            assert [entry["weight"] for entry in split["clusters"]] == [backend.weight for backend in item.backends]
    known = made[ROUTES_FILE][0]["virtual_hosts"][-1]
    checked = {entry["name"] for split in find(known, "weighted_clusters") for entry in split["clusters"]}
    named = {name for name in find(made[ROUTES_FILE], "cluster") if name} | checked
    assert named <= names
    assert named == checked | {name for name in named if name.rpartition("|")[0] in requests}
    assert {name for names_ in find(made[CLUSTERS_FILE], "clusters") for name in names_} <= names
    assert set(find(made[LISTENERS_FILE], "cluster")) <= names


@pure
@given(WAYPOINTS)
def test_clusters_stay_while_weights_change_so_that_counters_do(state: Waypoint) -> None:
    def at(weight: int) -> set[str]:
        moved = tuple(
            replace(
                item,
                shadow=None,
                backends=tuple(
                    replace(b, weight=w) for b, w in zip(item.backends, (100 - weight, weight), strict=True)
                ),
            )
            for item in state.listeners
        )
        return {cluster["name"] for cluster in rendered(replace(state, listeners=moved))[CLUSTERS_FILE]}

    assert at(0) == at(1) == at(100)


@pure
@given(WAYPOINTS)
def test_rule_9_circuit_breakers_are_unlimited_for_all_and_retries(state: Waypoint) -> None:
    for cluster in rendered(state)[CLUSTERS_FILE]:
        for threshold in cluster["circuit_breakers"]["thresholds"] if not cluster["name"].endswith("|shadow") else ():
            limits = {value for name, value in threshold.items() if name != "priority"}
            assert limits == {UNLIMITED}
            assert len(threshold) == 5


@pure
@given(WAYPOINTS)
def test_tls_is_1_3_both_ways_to_one_exact_identity(state: Waypoint) -> None:
    for config in find(rendered(state)[CLUSTERS_FILE], "common_tls_context"):
        assert set(config["tls_params"].values()) == {"TLSv1_3"}
        names = config["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
        assert [name["san_type"] for name in names] == ["URI"]
        assert set(names[0]["matcher"]) == {"exact"}


@pure
@given(WAYPOINTS)
def test_health_is_asked_per_service_and_a_side_without_tls_is_not_asked(state: Waypoint) -> None:
    for cluster in rendered(state)[CLUSTERS_FILE]:
        if checks := cluster.get("health_checks"):
            (check,) = checks
            assert check["transport_socket_match_criteria"] == {"side": "health"}
            first = cluster["transport_socket_matches"][0]
            assert first["match"] == {"side": "health"}
            assert first["transport_socket"]["typed_config"]["sni"].startswith("health.p")
        for endpoint in find(cluster.get("load_assignment", {}), "lb_endpoints"):
            for host in endpoint:
                remote = "envoy.transport_socket_match" in host.get("metadata", {}).get("filter_metadata", {})
                if cluster["name"].endswith("|tcp"):
                    skipped = host["endpoint"].get("health_check_config", {}).get("disable_active_health_check", False)
                    assert skipped != remote


@pytest.mark.parametrize(("services", "requests", "connections"), [(FEW, 1, 1), (FEW + 1, OFTEN, RARE)])
def test_gateways_are_asked_less_often_for_many_services(services: int, requests: int, connections: int) -> None:
    one = waypoint_state(AT, 50).listeners[0]
    many = tuple(replace(one, service=f"s{number}", listen=20000 + number) for number in range(services))
    alone = replace(one, service="alone", listen=30000, backends=one.backends[:1])  # has no choice, so it is not asked
    made = rendered(Waypoint(cluster="legacy", namespace=one.namespace, listeners=(*many, alone)))[CLUSTERS_FILE]
    asked = {
        (cluster["name"].endswith("|tcp"), check["interval"])
        for cluster in made
        for check in cluster.get("health_checks", ())
    }
    assert asked == {(False, f"{requests}s"), (True, f"{connections}s")}


@pure
@given(WAYPOINTS)
def test_a_tcp_side_at_weight_zero_is_left_out_unless_it_is_home(state: Waypoint) -> None:
    made = {cluster["name"]: cluster for cluster in rendered(state)[CLUSTERS_FILE]}
    for item in state.listeners:
        localities = made[f"{item.key}|tcp"]["load_assignment"]["endpoints"]
        seen = {locality["locality"]["sub_zone"]: locality for locality in localities}
        assert set(seen) == {backend.service for backend in item.backends if backend.weight or backend.fallback}
        for backend in item.backends:
            if backend.service in seen:
                assert seen[backend.service]["priority"] == (0 if backend.weight else 1)
                assert seen[backend.service]["load_balancing_weight"] == max(backend.weight, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use_remote_address", False),
        ("stream_idle_timeout", "0s"),
        ("request_timeout", "0s"),
        ("generate_request_id", False),
        ("max_request_headers_kb", 8192),
    ],
)
def test_rule_9_nothing_of_ours_is_added_or_limited(field: str, value: object) -> None:
    assert manager(waypoint_state(AT, 0))[field] == value


def test_rule_9_upgrades_and_old_clients() -> None:
    made = manager(waypoint_state(AT, 0))
    assert {"upgrade_type": "websocket"} in made["upgrade_configs"]
    assert made["http_protocol_options"]["accept_http_10"] is True
    assert "stateful_formatter" in made["http_protocol_options"]["header_key_format"]
    assert made["common_http_protocol_options"]["max_headers_count"] > 150


def test_rule_9_http_is_confirmed_by_the_inspector_and_listens_on_both_families() -> None:
    web = rendered(replace(waypoint_state(AT, 0), bind="::"))[LISTENERS_FILE][1]
    assert web["address"]["socket_address"] == {"address": "::", "ipv4_compat": True, "port_value": 20080}
    assert (web["listener_filters_timeout"], web["continue_on_listener_filters_timeout"]) == ("0.300s", True)
    assert [chain["name"] for chain in web["filter_chains"]] == ["http", "tcp"]
    rule = web["filter_chain_matcher"]
    chosen = {name: next(find(entry, "value")) for name, entry in next(find(rule, "map")).items()}
    assert chosen == {"'http/1.0'": "http", "'http/1.1'": "http", "'h2c'": "http"}
    assert next(find(rule["on_no_match"], "value")) == "tcp"


@pure
@given(WAYPOINTS, st.sampled_from([None, (), ("10.0.0.0/8",), ("10.0.0.1/32", "fd00::/64")]))
def test_rule_9_who_may_call_is_beside_the_chains_and_changes_nothing_else(
    state: Waypoint, callers: tuple[str, ...] | None
) -> None:
    """Envoy changes such a listener in place; a chain that differs in one byte would be drained with all it holds."""

    def rest(made: Waypoint) -> list[dict[str, Any]]:
        found = rendered(made)[LISTENERS_FILE]
        return [{key: value for key, value in item.items() if key != "filter_chain_matcher"} for item in found]

    limited = replace(state, listeners=tuple(replace(item, callers=callers) for item in state.listeners))
    assert rest(limited) == rest(state)
    assert [file for file in files(limited) if file[0] != LISTENERS_FILE] == [
        file for file in files(state) if file[0] != LISTENERS_FILE
    ]


def test_only_safe_retries_unless_the_owner_says_more() -> None:
    def words(state: Waypoint) -> set[str]:
        return {word for policy in find(rendered(state)[ROUTES_FILE], "retry_on") for word in policy.split(",")}

    safe = {"connect-failure", "refused-stream", "reset-before-request", "retriable-headers"}
    assert words(waypoint_state(AT, 50)) == safe
    assert words(waypoint_state(AT, 50, full_retry=True)) == safe | {"reset", "gateway-error"}


def test_timeouts_are_off_on_every_route() -> None:
    for action in find(rendered(waypoint_state(AT, 50))[ROUTES_FILE], "action"):
        assert action["typed_config"]["route"]["timeout"] == action["typed_config"]["route"]["idle_timeout"] == "0s"


@pytest.mark.parametrize("protocol", [Protocol.HTTP, Protocol.GRPC])
def test_affinity_is_a_ring_hash_on_the_callers_address(protocol: Protocol) -> None:
    state = waypoint_state(AT, 50, affinity=True)
    one = replace(state, listeners=tuple(item for item in state.listeners if item.protocol is protocol))
    made = rendered(one)
    policies = [cluster["lb_policy"] for cluster in made[CLUSTERS_FILE]]
    assert set(policies) == {"RING_HASH", "CLUSTER_PROVIDED"}
    assert list(find(made[ROUTES_FILE], "use_hash_policy")) == [True]
    assert list(find(made[LISTENERS_FILE], "hash_policy")) == [[{"source_ip": {}}]]


def test_a_gateway_with_a_name_is_looked_up() -> None:
    state = waypoint_state(AT, 50)
    web = state.listeners[0]
    over = web.backends[1].remote
    assert over is not None
    named = replace(over, gateways=(Endpoint(address="gw.example.com", port=15443),))
    moved = replace(web, backends=(web.backends[0], replace(web.backends[1], remote=named)))
    made = {c["name"]: c for c in rendered(replace(state, listeners=(moved,)))[CLUSTERS_FILE]}
    assert made["shop/web/80|web-eks"]["type"] == "STRICT_DNS"


def test_rule_4_pods_learn_the_callers_address_by_x_forwarded_for() -> None:
    for action in find(rendered(waypoint_state(AT, 50))[ROUTES_FILE], "action"):
        (added,) = action["typed_config"]["request_headers_to_add"]
        assert added["header"] == {"key": "x-forwarded-for", "value": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
        assert added["append_action"] == "APPEND_IF_EXISTS_OR_ADD"


def protocols_of(state: Waypoint, backend: str) -> list[dict[str, Any]]:
    """What is said of HTTP connections to one side."""
    found = [c for c in rendered(state)[CLUSTERS_FILE] if c["name"].endswith(f"|{backend}")]
    options = [next(iter(c["typed_extension_protocol_options"].values())) for c in found if "type" in c]
    return [config["common_http_protocol_options"] for config in options]


def test_rule_12_idle_connections_end_here_before_they_end_in_the_app() -> None:
    """gunicorn closes after 2 s, Node.js and uvicorn after 5 s; a request into a closing connection is lost."""
    state = waypoint_state(AT, 50)
    web = [item for item in state.listeners if item.service == "web" and item.protocol is Protocol.HTTP]
    kept = protocols_of(replace(state, listeners=tuple(web)), "web-leaf")
    assert [config["idle_timeout"] for config in kept] == ["1s"]


def test_rule_13_7_connections_to_gateways_do_not_last_for_ever() -> None:
    """HTTP/2 clung to the gateway that it knew: a replaced pod had 0 connections, its twin 7."""
    state = waypoint_state(AT, 50)
    web = [item for item in state.listeners if item.service == "web" and item.protocol is Protocol.HTTP]
    kept = protocols_of(replace(state, listeners=tuple(web)), "web-eks")
    assert [config["max_connection_duration"] for config in kept] == ["300s"]


def test_states_that_must_not_be() -> None:
    web = waypoint_state(AT, 0).listeners[0]
    with pytest.raises(ValueError, match="weights sum to zero"):
        replace(web, backends=tuple(replace(backend, weight=0) for backend in web.backends))
    with pytest.raises(ValueError, match="UDP"):
        replace(web, protocol=Protocol.UDP)
    with pytest.raises(ValueError, match="exactly one"):
        Backend(service="web-leaf", weight=1)
    with pytest.raises(ValueError, match="not there"):
        replace(web, header=HeaderRoute(source="web-leaf", target="web-gone"))
    refused = {Shadow(service="web-leaf", percent=5): "weight 0", Shadow(service="web-eks", percent=0): "1 to"}
    for wrong, told in refused.items():
        with pytest.raises(ValueError, match=told):
            replace(web, shadow=wrong)
    with pytest.raises(ValueError, match="HTTP"):
        replace(waypoint_state(AT, 0).listeners[2], shadow=Shadow(service="web-eks", percent=5))


@pure
@given(WAYPOINTS)
def test_every_request_loses_the_header_whether_it_means_something_or_not(state: Waypoint) -> None:
    (table,) = rendered(state)[ROUTES_FILE]
    assert "x-landbridge-side" in table["request_headers_to_remove"]


@pure
@given(WAYPOINTS)
def test_only_trusted_addresses_lead_to_a_route_by_header(state: Waypoint) -> None:
    table: dict[str, Any] = next(find(rendered(state)[ROUTES_FILE], "map"), {})
    for item in state.listeners:
        peers = dict(next(find(table.get(item.key, {}), "map"), {}))
        assert set(peers) == set(item.header.trusted if item.header else ())
        without = json.dumps(table.get(item.key, {}).get("on_no_match") or table.get(item.key, {}))
        assert peers or "x-landbridge-side" not in without
        for routes in peers.values():
            first, second, *_ = next(find(routes, "routes"))
            said = [route["match"]["headers"][0]["string_match"]["exact"] for route in (first, second)]
            assert said == ["source", "target"]
            assert [route["route"]["cluster"].split("|")[1] for route in (first, second)] == [
                f"{item.service}-leaf",
                f"{item.service}-eks",
            ]


@pure
@given(WAYPOINTS)
def test_copies_go_to_their_side_alone_and_are_never_copied_again(state: Waypoint) -> None:
    made = rendered(state)
    table: dict[str, Any] = next(find(made[ROUTES_FILE], "map"), {})
    inside = {each["name"]: each for each in made[LISTENERS_FILE] if "internal_listener" in each}
    assert set(inside) == {f"{i.key}|{i.shadow.service}|shadow" for i in state.listeners if i.shadow}
    for name in inside:
        way = table[name]
        assert not list(find(way, "request_mirror_policies"))
        assert not list(find(way, "weighted_clusters"))
        key, service, _ = name.split("|")
        assert {tuple(cluster.split("|")[:2]) for cluster in find(way, "cluster")} == {(key, service)}
        assert name not in find(way, "cluster")
    for cluster in made[CLUSTERS_FILE]:
        if list(find(cluster, "envoy_internal_address")):
            assert cluster["name"] in inside
            assert next(find(cluster, "server_listener_name")) == cluster["name"]
            assert max(cluster["circuit_breakers"]["thresholds"][0].values()) == 256


def test_without_header_and_shadow_a_request_goes_as_it_always_did() -> None:
    """What is added where neither is declared: the header is taken off, and nothing else."""
    (table,) = rendered(waypoint_state(AT, 30))[ROUTES_FILE]
    for action in next(find(table, "map")).values():
        route = action["action"]["typed_config"]
        assert set(route) == {"@type", "match", "name", "request_headers_to_add", "route"}
        assert route["match"] == {"prefix": ""}
        assert "request_mirror_policies" not in route["route"]
