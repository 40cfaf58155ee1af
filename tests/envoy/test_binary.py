"""The binary form of Envoy's resources, read by protobuf's own library."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.envoy.api import SCALARS, api
from landbridge.envoy.binary import encode
from landbridge.envoy.discovery import join, resource, split, version_of
from tests.envoy.decoded import decoded, resources
from tests.envoy.states import pure

CLUSTER, ROUTE = "envoy.config.cluster.v3.Cluster", "envoy.config.route.v3.Route"
ENDPOINT = "envoy.config.endpoint.v3.LbEndpoint"


def test_no_type_is_named_that_is_not_defined() -> None:
    own = {field.type for fields in api().messages.values() for field in fields.values()}
    known = api().messages.keys() | api().enums.keys() | SCALARS
    assert {name for name in own - known if not name.startswith("google.protobuf.")} == set()


@pure
@given(
    name=st.text(),
    seconds=st.integers(0, 10**6),
    millis=st.integers(0, 999),
    meta=st.dictionaries(st.text(), st.text() | st.booleans() | st.integers(-(2**53), 2**53)),
)
def test_what_was_said_is_what_is_read(name: str, seconds: int, millis: int, meta: dict[str, Any]) -> None:
    endpoint = {"load_balancing_weight": seconds, "metadata": {"filter_metadata": {"landbridge": meta}}}
    place = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}, {"priority": 0}]}
    read = decoded(
        CLUSTER, encode(CLUSTER, {"load_assignment": place, "name": name, "connect_timeout": f"{seconds}.{millis:03}s"})
    )
    assert read["name"] == name
    assert float(read["connect_timeout"][:-1]) == pytest.approx(seconds + millis / 1000)
    assert read["load_assignment"] == place


def test_an_empty_text_among_alternatives_is_said_nevertheless() -> None:
    assert encode("envoy.config.route.v3.RouteMatch", {"prefix": ""}) == b"\x0a\x00"


def test_a_part_may_be_encoded_before_the_whole() -> None:
    way = {"timeout": "1.500s", "weighted_clusters": {"clusters": [{"name": "b", "weight": 0}]}}
    whole = {"name": "a", "route": way}
    parts = whole | {"route": encode("envoy.config.route.v3.RouteAction", way)}
    assert encode(ROUTE, parts) == encode(ROUTE, whole)
    assert decoded(ROUTE, encode(ROUTE, whole)) == whole


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (CLUSTER, {"nmae": "web"}, "has no nmae"),
        (CLUSTER, {"type": "EDS"}, "EDS"),
        (f"{CLUSTER}s", {}, "no message"),
        (ENDPOINT, {"metadata": {"filter_metadata": {"x": {"y": [1]}}}}, "not list"),
    ],
)
def test_what_is_not_defined_is_not_written(kind: str, value: dict[str, Any], said: str) -> None:
    with pytest.raises(LookupError, match=said):
        encode(kind, value)


@pure
@given(st.dictionaries(st.text(), st.text(max_size=300)))
def test_a_file_comes_apart_into_what_it_was_made_of(held: dict[str, str]) -> None:
    known = {name: {"name": name, "load_assignment": {"cluster_name": word}} for name, word in held.items()}
    made = {name: resource(CLUSTER, said) for name, said in known.items()}
    content = join(list(made.values()))
    assert split(content) == made
    assert [item["name"] for item in resources(content)] == list(held)
    assert version_of(content) == decoded("envoy.service.discovery.v3.DiscoveryResponse", content)["version_info"]
    assert (version_of(join([*made.values()][1:])) == version_of(content)) == (not made)
