from __future__ import annotations

import pytest

from landbridge.agent import endpoints
from landbridge.envoy.state import Endpoint
from landbridge.model.service import Protocol
from tests.agent.objects import endpoint_slice


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        ({"name": "http"}, Protocol.HTTP),
        ({"name": "http-web"}, Protocol.HTTP),
        ({"name": "http2"}, Protocol.HTTP),
        ({"name": "grpc-api"}, Protocol.GRPC),
        ({"name": "https"}, Protocol.TCP),
        ({"name": "tls-web"}, Protocol.TCP),
        ({"name": "httpish"}, Protocol.TCP),
        ({"name": "web"}, Protocol.TCP),
        ({}, Protocol.TCP),
        ({"name": "dns", "protocol": "UDP"}, Protocol.UDP),
        ({"name": "web", "appProtocol": "http"}, Protocol.HTTP),
        ({"name": "web", "appProtocol": "kubernetes.io/h2c"}, Protocol.HTTP),
        ({"name": "web", "appProtocol": "grpc"}, Protocol.GRPC),
        ({"name": "http", "appProtocol": "https"}, Protocol.TCP),
    ],
)
def test_http_only_where_it_is_declared(port: dict[str, object], protocol: Protocol) -> None:
    """waypoint.md 9: https, TLS and unnamed ports are TCP."""
    assert endpoints.protocol_of(port) is protocol


def test_terminating_and_unready_endpoints_get_nothing() -> None:
    item = endpoint_slice("web", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
    item["endpoints"][1]["conditions"] = {"ready": False}
    item["endpoints"][2]["conditions"] = {"ready": True, "terminating": True}
    item["endpoints"][3]["conditions"] = {}
    assert endpoints.addresses([item]) == {"10.0.0.1", "10.0.0.4"}


def test_a_named_target_port_is_resolved_per_slice() -> None:
    """waypoint.md 3: named target ports resolved per pod."""
    found = endpoints.ready(
        [endpoint_slice("web", "10.0.0.1", port=8080), endpoint_slice("web", "10.0.0.2", port=9090)], "http"
    )
    assert found == (Endpoint(address="10.0.0.1", port=8080), Endpoint(address="10.0.0.2", port=9090))


def test_only_the_port_that_is_asked_for() -> None:
    item = endpoint_slice("web", "10.0.0.1")
    item["ports"].append({"name": "admin", "port": 9000, "protocol": "TCP"})
    assert [found.port for found in endpoints.ready([item], "admin")] == [9000]
    assert endpoints.ready([item], "") == ()
    assert endpoints.ready([item], "http", "UDP") == ()
