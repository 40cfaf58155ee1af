"""What is rendered for a gateway, whatever is exported."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from landbridge.envoy.gateway import NOBODY
from landbridge.envoy.names import CLUSTERS_FILE, LISTENERS_FILE
from landbridge.envoy.render import files
from landbridge.envoy.state import Export, Gateway, with_hops
from landbridge.model.service import Protocol
from tests.envoy.decoded import rendered
from tests.envoy.pair import Addresses, gateway_state
from tests.envoy.states import gateways, pure
from tests.envoy.test_waypoint import find

AT = Addresses("127.78.0")


def chains(state: Gateway) -> dict[str, dict[str, Any]]:
    doors = [listener for listener in rendered(state)[LISTENERS_FILE] if listener["name"] == "gateway"]
    return {chain["name"]: chain for door in doors for chain in door["filter_chains"]}


@pure
@given(gateways())
def test_one_chain_for_each_export_and_way_of_speaking(state: Gateway) -> None:
    wanted = set()
    for item in state.exports:
        name = f"p{item.port}.{item.service}.{item.namespace}.eks"
        wanted |= {f"tcp.{name}", f"health.{name}"} | ({name} if item.protocol is not Protocol.TCP else set())
    made = chains(state)
    assert set(made) == wanted
    for name, chain in made.items():
        assert chain["filter_chain_match"] == {"server_names": [name]}


@pure
@given(gateways())
def test_a_new_export_changes_no_other_chain(state: Gateway) -> None:
    more = Export(namespace="other", service="new", port=80, protocol=Protocol.HTTP, endpoints=())
    bigger = Gateway(cluster="eks", exports=(more, *state.exports), allowed=state.allowed)
    after = chains(bigger)
    assert {name: after[name] for name in chains(state)} == chains(state)


@pure
@given(gateways())
def test_endpoints_and_health_change_no_listener(state: Gateway) -> None:
    empty = tuple(
        Export(namespace=e.namespace, service=e.service, port=e.port, protocol=e.protocol, endpoints=())
        for e in state.exports
    )
    emptied = Gateway(cluster="eks", exports=empty, allowed=state.allowed)
    assert dict(files(emptied))[LISTENERS_FILE] == dict(files(state))[LISTENERS_FILE]


@pure
@given(gateways())
def test_everything_needs_a_certificate_of_a_listed_caller(state: Gateway) -> None:
    for chain in chains(state).values():
        config = chain["transport_socket"]["typed_config"]
        assert config["require_client_certificate"] is True
        context = config["common_tls_context"]
        assert set(context["tls_params"].values()) == {"TLSv1_3"}
        names = context["combined_validation_context"]["default_validation_context"]["match_typed_subject_alt_names"]
        assert [name["matcher"]["exact"] for name in names] == list(state.allowed)


def test_a_service_is_called_by_the_waypoint_of_its_own_namespace() -> None:
    """Whether it can answer, every caller may ask: gateways' agents do."""
    probes = "spiffe://legacy/ns/landbridge/sa/landbridge-gateway"
    own, other = (f"spiffe://legacy/ns/{space}/sa/landbridge-waypoint" for space in ("shop", "stock"))
    made = chains(gateway_state(AT, allowed=(own, other, probes)))
    assert any(name.startswith("p80.") for name in made)
    for name, chain in made.items():
        entries = next(find(chain, "match_typed_subject_alt_names"))
        wanted = {own, other, probes} if name.startswith("health.") else {own}
        assert {entry["matcher"]["exact"] for entry in entries} == wanted


def test_an_empty_list_of_callers_lets_nobody_in() -> None:
    names = list(find(rendered(gateway_state(AT, allowed=())), "match_typed_subject_alt_names"))
    assert {name["matcher"]["exact"] for entry in names for name in entry} == {NOBODY}


@pure
@given(gateways())
def test_every_cluster_that_is_named_is_there(state: Gateway) -> None:
    made = rendered(state)
    names = {cluster["name"] for cluster in made[CLUSTERS_FILE]}
    assert set(find(made[LISTENERS_FILE], "cluster")) <= names
    for health in find(made[LISTENERS_FILE], "cluster_min_healthy_percentages"):
        assert set(health) <= names


@pure
@given(gateways())
def test_a_hop_header_is_all_that_differs_and_only_where_it_is_asked_for(state: Gateway) -> None:
    plain, marked = dict(files(state)), dict(files(with_hops(state, "x-hops")))
    assert dict(files(with_hops(state, ""))) == plain
    assert b"request_headers_to_add" not in plain[LISTENERS_FILE]
    added = rendered(with_hops(state, "x-hops"))[LISTENERS_FILE]
    routes = [route for found in find(added, "routes") for route in found]
    wanted = {"header": {"key": "x-hops", "value": "eks"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}
    assert [route.pop("request_headers_to_add") for route in routes] == [[wanted]] * len(routes)
    assert bool(routes) == any(item.protocol is not Protocol.TCP for item in state.exports)
    assert added == rendered(state)[LISTENERS_FILE]
    assert marked[CLUSTERS_FILE] == plain[CLUSTERS_FILE]


def test_udp_is_refused() -> None:
    with pytest.raises(ValueError, match="UDP"):
        Export(namespace="shop", service="dns", port=53, protocol=Protocol.UDP, endpoints=())
