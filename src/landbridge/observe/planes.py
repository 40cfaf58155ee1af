"""Whose metrics a Prometheus has: for each data plane, the series that count a caller's requests by backend.

Only the caller's side is used: there each request is counted once with the backend it was drawn for, and a backend
that does not answer is counted too. Names of metrics and labels are those of the planes' own references
(linkerd.io/2/reference/proxy-metrics, istio.io/latest/docs/reference/config/metrics).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Pattern = Mapping[str, str]
"""Labels, each with a regular expression that has to match the whole value."""

GRPC_FAULTS = "2|4|12|13|14|15"
GRPC_FAULT_NAMES = "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS"
"""As in the built-in counters: the statuses that are the server's fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """One data plane's series: counters of ended requests, histograms, the labels that say to whom they went.

    `bad`: a series counts failures if all labels of one of these patterns match. `outcome`: labels that say how a
    request ended and not whose it was. `without`: a series with all of these is no caller's.
    `bounds`: the histogram's bounds that are read, in units of `unit` milliseconds.
    """

    name: str
    requests: tuple[str, ...]
    latency: tuple[str, ...]
    unit: float
    bounds: tuple[float, ...]
    namespace: str
    backend: str
    where: Pattern
    without: Pattern
    bad: tuple[Pattern, ...]
    outcome: tuple[str, ...]


LINKERD_GATEWAY = {"deployment": "linkerd-gateway"}
"""It calls the Service for callers of the other cluster, where each request is counted already."""
LINKERD = Plane(
    name="linkerd",
    requests=("response_total",),
    latency=("response_latency_ms_bucket",),
    unit=1.0,
    bounds=(50, 100, 200, 300, 500, 1000, 2000, 5000),
    namespace="dst_namespace",
    backend="dst_service",
    where={"direction": "outbound"},
    without=LINKERD_GATEWAY,
    bad=({"classification": "failure"},),
    outcome=("classification", "status_code", "grpc_status", "grpc_status_code", "error"),
)
LINKERD_ROUTES = Plane(
    name="linkerd-routes",
    requests=(
        "outbound_http_route_backend_response_statuses_total",
        "outbound_grpc_route_backend_response_statuses_total",
    ),
    latency=(
        "outbound_http_route_backend_response_duration_seconds_bucket",
        "outbound_grpc_route_backend_response_duration_seconds_bucket",
    ),
    unit=1000.0,
    bounds=(0.05, 0.1, 0.25, 0.5, 1, 10),
    namespace="backend_namespace",
    backend="backend_name",
    where={"backend_kind": "Service"},
    without=LINKERD_GATEWAY,
    bad=({"http_status": "5.."}, {"grpc_status": GRPC_FAULT_NAMES}, {"error": ".+"}),
    outcome=("http_status", "grpc_status", "error"),
)
ISTIO = Plane(
    name="istio",
    requests=("istio_requests_total",),
    latency=("istio_request_duration_milliseconds_bucket",),
    unit=1.0,
    bounds=(50, 100, 250, 500, 1000, 2500, 5000),
    namespace="destination_service_namespace",
    backend="destination_service_name",
    where={"reporter": "source"},
    without={},
    bad=({"response_code": "5.."}, {"grpc_response_status": GRPC_FAULTS}),
    outcome=("response_code", "grpc_response_status", "response_flags"),
)
PLANES: Mapping[str, Plane] = {plane.name: plane for plane in (LINKERD, LINKERD_ROUTES, ISTIO)}
