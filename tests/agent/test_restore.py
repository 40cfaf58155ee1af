"""waypoint.md 1 and 2: what an owner's re-apply means."""

from __future__ import annotations

from landbridge.agent import names
from landbridge.agent.restore import Await, Drift, Label, MoveLeaf, Restore, Sweep, decide
from landbridge.model.service import Manifest
from tests.agent.objects import HTTP, endpoint_slice, leaf, service

OURS = endpoint_slice("web", "10.0.0.1", ours=True)
POD = endpoint_slice("web-leaf", "10.1.0.1")
BACK = endpoint_slice("web", "10.1.0.1")


def apex(selector: dict[str, str] | None = None, *, skip: bool = True, **more: object) -> Manifest:
    labels = {names.SKIP_MIRROR: "true"} if skip else {}
    return service("web", selector=selector, labels=labels, **more)  # type: ignore[arg-type]


def test_all_is_well() -> None:
    assert decide(apex(), leaf("web"), [OURS], [POD], labelled=True) is None


def test_the_owners_own_selector_is_set_to_null_again() -> None:
    found = decide(apex({"app": "web"}), leaf("web"), [OURS, BACK], [POD], labelled=True)
    assert isinstance(found, Restore)


def test_before_the_controller_has_written_its_slices_too() -> None:
    assert isinstance(decide(apex({"app": "web"}), leaf("web"), [OURS], [POD], labelled=True), Restore)


def test_the_label_comes_before_the_selector() -> None:
    """An owner who replaced the Service took the label away: Endpoints would be mirrored for good (4 of 98)."""
    assert decide(apex({"app": "web"}, skip=False), leaf("web"), [OURS], [POD], labelled=False) == Label()
    waits = decide(apex({"app": "web"}), leaf("web"), [OURS], [POD], labelled=False)
    assert isinstance(waits, Await)


def test_never_without_our_own_slice() -> None:
    for mine in ([], [endpoint_slice("web", ours=True)]):
        assert isinstance(decide(apex({"app": "web"}), leaf("web"), [*mine, BACK], [POD], labelled=True), Await)
        assert isinstance(decide(apex(), leaf("web"), [*mine, BACK], [POD], labelled=True), Await)


def test_what_the_controller_left_behind_is_swept() -> None:
    mirrored = endpoint_slice("web", "10.1.0.9")
    mirrored["metadata"]["labels"][names.SLICE_MANAGED_BY] = "endpointslicemirroring-controller.k8s.io"
    assert decide(apex(), leaf("web"), [OURS, BACK, mirrored], [POD], labelled=True) == Sweep(slices=(BACK, mirrored))


def test_slices_of_others_are_left_alone() -> None:
    stranger = endpoint_slice("web", "10.9.0.1")
    stranger["metadata"]["labels"][names.SLICE_MANAGED_BY] = "somebody.example"
    assert decide(apex(), leaf("web"), [OURS, stranger], [POD], labelled=True) is None


def test_another_selector_goes_to_the_leaf_first() -> None:
    """waypoint.md 2: blue/green by selector, Argo Rollouts."""
    green = {"app": "web", "color": "green"}
    selected = endpoint_slice("web", "10.1.0.7")
    assert decide(apex(green), leaf("web"), [OURS, selected], [POD], labelled=True) == MoveLeaf(selector=green)
    moved = leaf("web", selector=green)
    assert isinstance(decide(apex(green), moved, [OURS, selected], [POD], labelled=True), Await)
    followed = endpoint_slice("web-leaf", "10.1.0.7")
    assert isinstance(decide(apex(green), moved, [OURS, selected], [followed], labelled=True), Restore)


def test_a_selector_that_matches_nobody_never_empties_the_leaf() -> None:
    found = decide(apex({"app": "nobody"}), leaf("web"), [OURS], [POD], labelled=True)
    assert isinstance(found, Await)


def test_changed_ports_are_drift() -> None:
    changed = [HTTP[0] | {"targetPort": 9090}]
    found = decide(apex({"app": "web"}, ports=changed), leaf("web"), [OURS, BACK], [POD], labelled=True)
    assert isinstance(found, Drift)
    assert "9090" in found.what
    more = [*HTTP, {"name": "admin", "port": 81}]
    assert isinstance(decide(apex(ports=more), leaf("web"), [OURS], [POD], labelled=True), Drift)


def test_defaults_that_the_api_fills_in_are_no_drift() -> None:
    bare = [{"name": "http", "port": 8080}]
    full = [{"name": "http", "port": 8080, "protocol": "TCP", "targetPort": 8080}]
    assert decide(apex(ports=bare), leaf("web", ports=full), [OURS], [POD], labelled=True) is None
