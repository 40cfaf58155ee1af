"""What is detected, and which mechanism follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.linkerd.found import Read, find
from landbridge.linkerd.mechanism import Choice, No, choose
from landbridge.linkerd.versions import LINKS, VERSIONS, read_minor, supports, version_of
from landbridge.model.service import Manifest, Protocol, ServiceId
from tests.linkerd.definitions import MINORS
from tests.linkerd.world import config, linkerd, named, read

WEB = ServiceId("shop", "web")
HTTP = (Protocol.HTTP,)


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("stable-2.14.10", 14),
        ("version-2.18", 18),
        ("enterprise-2.17.1", 17),
        ("2.20.0", 20),
        ("v2.9.4", 9),
        ("edge-23.8.1", 0),
        ("edge-24.8.2", 15),
        ("edge-24.9.1", 16),
        ("edge-24.11.8", 16),
        ("edge-26.10.1", 20),
        ("dev-12ab34", 0),
        ("", 0),
    ],
)
def test_versions_are_read_and_an_edge_release_counts_as_the_one_it_surely_has(text: str, minor: int) -> None:
    assert read_minor(text) == minor


def test_nothing_is_there_without_the_control_planes_configuration() -> None:
    assert find(Read(config=None, definitions=read(18).definitions)) is None


@pytest.mark.parametrize("minor", MINORS)
def test_all_of_a_version_is_found(minor: int) -> None:
    found = linkerd(minor)
    assert (found.minor, found.domain, found.extension) == (minor, "cluster.local", "linkerd-multicluster")
    assert found.adaptor
    assert found.multicluster
    assert found.controllers == ("eks",)
    assert found.injected == ("shop",)
    assert len(found.anchors) == 1
    assert found.door is not None
    assert (found.door.addresses, found.door.port, found.door.probe_port) == (("192.0.2.7",), 4143, 4191)
    assert VERSIONS[minor].link in found.served[LINKS]


def test_broken_values_are_a_version_that_nobody_knows() -> None:
    broken = config(18) | {"data": {"values": "a: [b"}}
    found = find(replace(read(18), config=broken))
    assert found is not None
    assert (found.version, found.minor) == ("", 0)


def test_the_same_anchors_in_another_order_or_spacing_are_the_same() -> None:
    one, two = (
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nBB\nBB\n-----END CERTIFICATE-----",
    )
    seen = [
        find(replace(read(18), config=config(18, anchor=text))) for text in (one + "\n" + two, f"# x\n{two}\n\n{one}\n")
    ]
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[0].anchors == seen[1].anchors
    assert len(seen[0].anchors) == 2


def router(minor: int, *objects: Manifest, protocols: tuple[Protocol, ...] = HTTP, **has: Any) -> str:
    found = choose(linkerd(minor, **has), WEB, protocols, objects)
    assert isinstance(found, Choice), found
    return found.router


@pytest.mark.parametrize("minor", MINORS)
def test_http_takes_the_newest_route_that_this_version_obeys(minor: int) -> None:
    assert router(minor) == ("httproute" if minor >= 18 else "httproute-v1beta1")
    assert router(minor, gateway_api=False) == "httproute-linkerd"


@pytest.mark.parametrize("minor", MINORS)
def test_tcp_and_several_ports_are_never_left_to_a_route(minor: int) -> None:
    for protocols in ((Protocol.TCP,), (Protocol.HTTP, Protocol.TCP), (Protocol.HTTP, Protocol.GRPC)):
        assert router(minor, protocols=protocols) == "trafficsplit"
        assert router(minor, protocols=protocols, adaptor=False) == "serviceprofile"
        assert router(minor, protocols=protocols, smi=False) == "serviceprofile"


def test_definitions_that_this_version_ignores_are_not_written() -> None:
    """2.20 ignores a route whole that has a field unknown to it, and 2.18 was never tried with 1.3."""
    seen = replace(linkerd(20), bundle="v1.1.1")
    assert choose(seen, WEB, HTTP, ()) == Choice(
        "httproute-linkerd", f"Linkerd {seen.version} obeys its own HTTPRoute v1beta3"
    )
    for bundle in ("", "v1.3.0", "experimental"):
        unsure = choose(replace(linkerd(18), bundle=bundle), WEB, HTTP, ())
        assert isinstance(unsure, Choice)
        assert unsure.router == "httproute-linkerd"


def profile(**spec: Any) -> Manifest:
    return named("linkerd.io/v1alpha2", "ServiceProfile", "web.shop.svc.cluster.local", "shop", spec=spec)


def test_a_profile_with_routes_beats_every_route_so_its_own_overrides_are_used() -> None:
    routes = [{"name": "all", "condition": {"pathRegex": ".*"}}]
    for minor in MINORS:
        assert router(minor, profile(routes=routes)) == "serviceprofile"
        assert router(minor, profile()) != "serviceprofile"


def split(api: str, kind: str, spec: dict[str, Any], **more: Any) -> Manifest:
    return named(api, kind, "web", "shop", spec=spec, **more)


PARENT = {"parentRefs": [{"group": "core", "kind": "Service", "name": "web"}]}


@pytest.mark.parametrize(
    "theirs",
    [
        split("split.smi-spec.io/v1alpha1", "TrafficSplit", {"service": "web", "backends": []}),
        split("gateway.networking.k8s.io/v1", "HTTPRoute", PARENT),
        split("policy.linkerd.io/v1beta3", "HTTPRoute", PARENT),
        split("gateway.networking.k8s.io/v1", "GRPCRoute", PARENT),
        profile(dstOverrides=[{"authority": "x.shop.svc.cluster.local", "weight": 1}]),
    ],
    ids=lambda item: f"{item['apiVersion']} {item['kind']}",
)
def test_what_somebody_else_divides_already_is_left_alone(theirs: Manifest) -> None:
    for minor in MINORS:
        found = choose(linkerd(minor), WEB, HTTP, [theirs])
        assert isinstance(found, No)
        assert theirs["kind"] in found.where
        assert found.advice


def test_objects_of_other_services_and_namespaces_do_not_matter() -> None:
    other = {"parentRefs": [{"kind": "Service", "name": "cart"}]}
    ingress = {"parentRefs": [{"kind": "Gateway", "name": "web"}]}
    away = named("split.smi-spec.io/v1alpha2", "TrafficSplit", "web", "test", spec={"service": "web"})
    beside = [split("gateway.networking.k8s.io/v1", "HTTPRoute", spec) for spec in (other, ingress)]
    assert router(18, away, *beside) == "httproute"


def test_the_mechanism_that_stands_stays_even_when_a_better_one_appears() -> None:
    ours = {"app.kubernetes.io/managed-by": "landbridge"}
    standing = split("split.smi-spec.io/v1alpha2", "TrafficSplit", {"service": "web", "backends": []}, labels=ours)
    written = profile(dstOverrides=[{"authority": "web-eks.shop.svc.cluster.local", "weight": 1}])
    assert router(20, standing, written) == "trafficsplit"
    driven = profile(routes=[], dstOverrides=[])
    driven["metadata"]["annotations"] = {"landbridge.dev/drives": "dstOverrides"}
    assert router(20, driven) == "serviceprofile"


def test_too_old_a_linkerd_is_refused_with_what_to_do() -> None:
    found = choose(replace(linkerd(14), version="stable-2.11.5", minor=11), WEB, HTTP, ())
    assert isinstance(found, No)
    assert "stable-2.11.5 is older" in found.what
    assert "dataPlane.plane: builtin" in found.advice


def test_a_newer_one_than_all_known_is_taken_as_the_newest() -> None:
    assert version_of(23) is VERSIONS[20]
    assert version_of(13) is None


@given(st.integers(0, 2), st.integers(0, 9), st.integers(0, 9))
def test_a_bundle_is_supported_within_bounds_only(major: int, middle: int, patch: int) -> None:
    for version in VERSIONS.values():
        inside = version.bundles[0] <= (major, middle, patch) <= version.bundles[1]
        assert supports(version, f"v{major}.{middle}.{patch}") == inside
