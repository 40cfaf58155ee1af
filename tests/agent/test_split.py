from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent.split import Obeyed, Reason, declared, obey
from tests.agent.objects import httproute, trafficsplit

KNOWN = frozenset({"web", "web-leaf", "web-eks"})
LAST = Obeyed(weights={0: {"web-leaf": 60, "web-eks": 40}}, reason=Reason.DECLARED)


def decide(*splits: Any, last: Obeyed | None = None, go_home: bool = False, routes: Any = ()) -> Obeyed:
    found = declared("web", splits, routes)
    return obey(found, default="web-leaf", known=KNOWN, go_home=go_home, last=last)


def test_without_a_split_everything_stays_on_the_default() -> None:
    assert decide() == Obeyed(weights={0: {"web-leaf": 100}}, reason=Reason.DEFAULT)


def test_a_trafficsplit_is_obeyed_as_written() -> None:
    found = decide(trafficsplit("web", {"web-leaf": 75, "web-eks": 25}))
    assert (found.at(80), found.reason) == ({"web-leaf": 75, "web-eks": 25}, Reason.DECLARED)


def test_splits_of_other_services_mean_nothing() -> None:
    assert decide(trafficsplit("cart", {"cart-leaf": 100})).reason is Reason.DEFAULT


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        ({}, "no backends"),
        ({"web-leaf": 0, "web-eks": 0}, "zero"),
        ({"web-leaf": -1, "web-eks": 101}, "negative"),
        ({"web-leaf": "500m"}, "whole numbers"),
        ({"web-leaf": True}, "whole numbers"),
        ({"web-lief": 50, "web-leaf": 50}, "web-lief"),
    ],
)
def test_what_cannot_be_obeyed_is_held(weights: dict[str, Any], says: str) -> None:
    found = decide(trafficsplit("web", weights), last=LAST)
    assert (found.weights, found.reason) == (LAST.weights, Reason.HELD)
    assert says in found.problem


def test_a_stranger_without_weight_harms_nobody() -> None:
    assert decide(trafficsplit("web", {"web-leaf": 100, "web-gone": 0})).reason is Reason.DECLARED


def test_nothing_to_hold_means_the_default() -> None:
    found = decide(trafficsplit("web", {"web-leaf": 0}))
    assert (found.at(80), found.reason) == ({"web-leaf": 100}, Reason.HELD)


def test_weights_that_name_a_backend_that_is_gone_are_not_held() -> None:
    gone = Obeyed(weights={0: {"web-old": 100}}, reason=Reason.DECLARED)
    assert decide(trafficsplit("web", {}), last=gone).at(80) == {"web-leaf": 100}


def test_an_httproute_has_weights_by_port() -> None:
    rules = [
        {
            "backendRefs": [
                {"name": "web-leaf", "port": 80, "weight": 90},
                {"name": "web-eks", "port": 80, "weight": 10},
            ]
        },
        {"backendRefs": [{"name": "web-leaf", "port": 81}]},
    ]
    found = decide(routes=[httproute("web", rules)])
    assert found.at(80) == {"web-leaf": 90, "web-eks": 10}
    assert found.at(81) == {"web-leaf": 1}


def test_a_route_of_a_gateway_is_no_split() -> None:
    route = httproute("web", [{"backendRefs": [{"name": "web-leaf"}]}])
    route["spec"]["parentRefs"] = [{"kind": "Gateway", "name": "web"}]
    assert declared("web", [], [route]) is None


def test_of_two_mechanisms_the_trafficsplit_is_obeyed_and_the_clash_reported() -> None:
    route = httproute("web", [{"backendRefs": [{"name": "web-eks"}]}])
    found = decide(trafficsplit("web", {"web-leaf": 100}), routes=[route])
    assert found.at(80) == {"web-leaf": 100}
    assert "2 splits" in found.problem


def test_an_expired_split_goes_home_or_stays_as_it_says() -> None:
    weights = {"web-leaf": 50, "web-eks": 50}
    goes = trafficsplit("web", weights, run_lease="landbridge-run", on_expiry="home", home="web-leaf")
    stays = trafficsplit("web", weights, run_lease="landbridge-run", on_expiry="stay", home="web-leaf")
    assert decide(goes, go_home=True).at(80) == {"web-leaf": 100}
    assert decide(stays, go_home=True).at(80) == weights
    assert decide(goes).at(80) == weights


@given(
    st.dictionaries(
        st.sampled_from([*sorted(KNOWN), "stranger"]),
        st.one_of(st.integers(-5, 200), st.booleans(), st.text(max_size=3), st.none()),
        max_size=4,
    ),
    st.booleans(),
    st.booleans(),
)
def test_whatever_is_written_somebody_serves(weights: dict[str, Any], held: bool, go_home: bool) -> None:
    """Law 1: weights never sum to zero and never name who does not exist."""
    split = trafficsplit("web", weights, run_lease="r", on_expiry="home", home="web-leaf")
    found = decide(split, last=LAST if held else None, go_home=go_home)
    for port in (80, 81):
        in_force = found.at(port)
        assert sum(in_force.values()) > 0
        assert {name for name, weight in in_force.items() if weight} <= KNOWN
        assert all(weight >= 0 for weight in in_force.values())


EXTRAS = {"run_lease": "landbridge-run", "header_route": "source=web-leaf target=web-eks", "shadow": "web-eks=10"}
HOME = {"web-leaf": 100, "web-eks": 0}


def test_a_header_route_and_a_shadow_are_obeyed_beside_the_weights() -> None:
    found = decide(trafficsplit("web", HOME, **EXTRAS))
    assert found.header == {"source": "web-leaf", "target": "web-eks"}
    assert found.shadow == {"web-eks": 10}
    route = httproute("web", [{"backendRefs": [{"name": "web-leaf", "port": 80}]}])
    notes = {f"landbridge.dev/{key.replace('_', '-')}": value for key, value in EXTRAS.items()}
    route["metadata"]["annotations"] = notes
    found = decide(routes=[route])
    assert (found.shadow, set(found.header)) == ({"web-eks": 10}, {"source", "target"})


@pytest.mark.parametrize(
    ("terms", "alive"),
    [
        ({}, False),  # the lease has run out, wherever the weights stay
        ({"run_lease": ""}, True),  # finished, or made by somebody without a run: nobody would turn it off
        ({"header_route": "source=web-leaf", "shadow": "web-eks"}, True),
        ({"header_route": "source=web-leaf target=web-gone", "shadow": "web-gone=5"}, True),
        ({"header_route": "both=web-leaf", "shadow": "web-eks=0"}, True),
        ({"header_route": "source= target=", "shadow": "web-eks=101"}, True),
        ({"header_route": "", "shadow": "web-eks=5 web=5"}, True),
    ],
)
def test_whatever_is_not_plain_is_off_and_harms_no_weight(terms: dict[str, str], alive: bool) -> None:
    split = declared("web", [trafficsplit("web", HOME, **EXTRAS | terms)], [])
    found = obey(split, default="web-leaf", known=KNOWN, go_home=False, last=None, alive=alive)
    assert (found.weights, found.reason) == ({0: HOME}, Reason.DECLARED)
    assert (found.header, found.shadow) == ({}, {})


def test_a_side_with_a_weight_has_no_shadow() -> None:
    found = decide(trafficsplit("web", {"web-leaf": 99, "web-eks": 1}, **EXTRAS))
    assert (found.shadow, set(found.header)) == ({}, {"source", "target"})


def test_what_is_held_or_home_has_neither() -> None:
    for found in (
        decide(trafficsplit("web", {}, **EXTRAS), last=LAST),
        decide(trafficsplit("web", HOME, **EXTRAS, on_expiry="home", home="web-leaf"), go_home=True),
    ):
        assert (found.header, found.shadow) == ({}, {})


@given(st.text(), st.text())
def test_no_annotation_can_break_a_split(header: str, shadow: str) -> None:
    found = decide(trafficsplit("web", HOME, **EXTRAS | {"header_route": header, "shadow": shadow}))
    assert found.weights == {0: HOME}
