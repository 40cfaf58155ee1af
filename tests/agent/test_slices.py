from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent import names, ports, slices
from landbridge.agent.slices import Create, Patch, Pod, Remove, diff, held, pod, release, wanted
from tests.agent.objects import HTTP, endpoint_slice, leaf, service

LISTEN = ports.plan([leaf("web")], {}, 0)


def make(number: int, *, ready: bool = True, addresses: tuple[str, ...] = ()) -> Pod:
    return Pod(
        name=f"waypoint-{number}",
        namespace="shop",
        uid=f"uid-{number}",
        node="node",
        ready=ready,
        addresses=addresses or (f"10.0.0.{number}",),
    )


def test_a_slice_points_to_waypoints_at_their_own_ports() -> None:
    item = wanted(service("web"), [make(1), make(2)], LISTEN, "IPv4")
    assert item is not None
    assert [endpoint["addresses"] for endpoint in item["endpoints"]] == [["10.0.0.1"], ["10.0.0.2"]]
    assert item["ports"] == [{"name": "http", "port": 20000, "protocol": "TCP"}]
    assert item["metadata"]["name"] == "web-landbridge-ipv4"
    assert names.ours(item)
    assert item["metadata"]["ownerReferences"][0]["uid"] == "uid-web"


def test_one_slice_for_each_family() -> None:
    """waypoint.md 9: one slice per family."""
    both = make(1, addresses=("10.0.0.1", "fd00::1"))
    six = wanted(service("web"), [both, make(2)], LISTEN, "IPv6")
    assert six is not None
    assert [endpoint["addresses"] for endpoint in six["endpoints"]] == [["fd00::1"]]
    assert wanted(service("web"), [make(2)], LISTEN, "IPv6") is None


def test_an_empty_slice_is_never_written() -> None:
    """waypoint.md 13.5: hold if no waypoint is ready."""
    assert wanted(service("web"), [make(1, ready=False)], LISTEN, "IPv4") is None
    assert wanted(service("web"), [], LISTEN, "IPv4") is None
    assert diff(endpoint_slice("web", "10.0.0.1", ours=True), None) is None


def test_a_service_with_one_port_unallocated_gets_no_slice() -> None:
    """waypoint.md 3: all ports or none."""
    two = [*HTTP, {"name": "new", "port": 81, "protocol": "TCP"}]
    assert wanted(service("web", ports=two), [make(1)], LISTEN, "IPv4") is None


def test_only_differences_are_written_and_from_the_version_that_was_read() -> None:
    item = wanted(service("web"), [make(1)], LISTEN, "IPv4")
    assert item is not None
    assert diff(None, item) == Create(manifest=item)
    have = item | {"metadata": item["metadata"] | {"resourceVersion": "41"}}
    assert diff(have, item) is None
    grown = wanted(service("web"), [make(2), make(1)], LISTEN, "IPv4")
    change = diff(have, grown)
    assert isinstance(change, Patch)
    assert change.version == "41"
    assert len(change.patch["endpoints"]) == 2


def test_a_mirror_whose_far_end_is_dead_keeps_its_addresses_and_is_not_ready() -> None:
    item = wanted(service("web"), [make(1)], LISTEN, "IPv4", ready=False)
    assert item is not None
    assert [(e["addresses"], e["conditions"]["ready"]) for e in item["endpoints"]] == [(["10.0.0.1"], False)]


def test_our_slice_goes_only_while_others_answer() -> None:
    mine, other = endpoint_slice("web", "10.0.0.1", ours=True), endpoint_slice("web", "10.1.0.1")
    assert release("web", [mine]) == []
    assert release("web", [mine, endpoint_slice("web", "10.1.0.1", ready=False)]) == []
    assert release("web", [mine, other]) == [Remove(namespace="shop", name="web-landbridge-ipv4", version="7")]


def test_a_new_leader_learns_from_slices_what_was_confirmed() -> None:
    found = held([endpoint_slice("web", "10.0.0.1", "10.0.0.2", port=20000, ours=True)])
    assert found == {"10.0.0.1": frozenset({20000}), "10.0.0.2": frozenset({20000})}


def test_a_pod_is_not_ready_from_the_moment_it_begins_to_end() -> None:
    status = {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    meta = {"name": "w", "namespace": "shop", "uid": "u"}
    assert pod({"metadata": meta, "status": status}).ready
    assert not pod({"metadata": meta | {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": status}).ready
    assert not pod({"metadata": meta, "status": {"podIP": "10.0.0.1"}}).ready
    assert pod({"metadata": meta}).addresses == ()


pods = st.lists(
    st.builds(lambda n, ready: make(n, ready=ready), st.integers(1, 9), st.booleans()),
    max_size=6,
    unique_by=lambda item: item.name,
)


@given(pods, pods)
def test_writing_reaches_the_goal_and_then_stops(before: list[Pod], after: list[Pod]) -> None:
    first = wanted(service("web"), before, LISTEN, "IPv4")
    have = first | {"metadata": first["metadata"] | {"resourceVersion": "1"}} if first else None
    goal = wanted(service("web"), after, LISTEN, "IPv4")
    result = have
    match diff(have, goal):
        case None:
            pass
        case Create(manifest=manifest):
            result = manifest
        case Patch(patch=patch):
            assert have is not None
            result = have | {"endpoints": patch["endpoints"], "ports": patch["ports"]}
        case Remove():
            raise AssertionError("a slice is never removed by writing")
    assert diff(result, goal) is None
    if result is not None:
        assert result["endpoints"], "never empty"
    if any(item.ready for item in after) and result is not None:
        listed = {endpoint["addresses"][0] for endpoint in result["endpoints"]}
        assert listed == {item.addresses[0] for item in after if item.ready}


def test_families_are_both() -> None:
    assert slices.FAMILIES == ("IPv4", "IPv6")
