"""The order of writing, and how to get from one state to the next without a moment that names what is not there."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from landbridge.envoy.discovery import version_of
from landbridge.envoy.names import CLUSTERS_FILE, LISTENERS_FILE, ROUTES_FILE
from landbridge.envoy.render import files, steps
from landbridge.envoy.state import Gateway, Waypoint
from tests.envoy.decoded import resources
from tests.envoy.pair import Addresses, gateway_state, waypoint_state
from tests.envoy.states import WAYPOINTS, gateways, pure
from tests.envoy.test_waypoint import find

AT = Addresses("127.78.0")


def test_rule_13_2_the_order_is_secrets_clusters_routes_listeners() -> None:
    secrets = ["identity.pb", "trust.pb"]
    names = [name for name, _ in files(waypoint_state(AT, 0))]
    assert names == [*secrets, CLUSTERS_FILE, ROUTES_FILE, LISTENERS_FILE]
    assert [name for name, _ in files(gateway_state(AT))] == [*secrets, CLUSTERS_FILE, LISTENERS_FILE]


@pure
@given(WAYPOINTS)
def test_rule_13_3_every_file_says_its_version_and_it_is_that_of_its_content(state: Waypoint) -> None:
    other = replace(state, listeners=state.listeners[1:])
    for (name, content), (_, after) in zip(files(state), files(other), strict=True):
        assert version_of(content), name
        assert (version_of(content) == version_of(after)) == (content == after)


def test_a_change_of_weight_writes_as_little_as_it_can() -> None:
    before, after = files(waypoint_state(AT, 5)), files(waypoint_state(AT, 10))
    assert [name for name, _ in steps(before, after)] == [ROUTES_FILE, CLUSTERS_FILE]
    assert steps(before, before) == ()
    assert steps((), before) == before


@pure
@given(WAYPOINTS, WAYPOINTS)
def test_no_step_takes_away_a_cluster_that_is_named(before: Waypoint, after: Waypoint) -> None:
    lies = dict(files(before))
    wanted = files(after)
    for name, content in steps(tuple(lies.items()), wanted):
        lies[name] = content
        there = {cluster["name"] for cluster in resources(lies[CLUSTERS_FILE])}
        for split in find(resources(lies[ROUTES_FILE]), "weighted_clusters"):
            assert {entry["name"] for entry in split["clusters"]} <= there
        assert set(find(resources(lies[LISTENERS_FILE]), "cluster")) <= there
    assert lies == dict(wanted)


@pure
@given(gateways(), gateways())
def test_a_gateway_gets_there_as_well(before: Gateway, after: Gateway) -> None:
    lies = dict(files(before))
    for name, content in steps(files(before), files(after)):
        lies[name] = content
        there = {cluster["name"] for cluster in resources(lies[CLUSTERS_FILE])}
        assert set(find(resources(lies[LISTENERS_FILE]), "cluster")) <= there
    assert lies == dict(files(after))
