"""How requests pass through: unchanged, without a limit of our own, and counted when they have ended."""

from __future__ import annotations

from landbridge.envoy.clusters import MAX_HEADER_KB, MAX_HEADERS, preserve_case
from landbridge.envoy.names import METADATA, Json, typed

UPGRADES = ("websocket", "SPDY/3.1", "tcp")
"""Upgrades that are passed on; one that is not listed is answered 403 (waypoint 9)."""
PROTOCOL_HEADER = "x-landbridge-protocol"
"""How the caller spoke, for the gateway to speak alike to the pod: all travels as HTTP/2 between the clusters."""
CLIENT_HEADER = "x-landbridge-client"
"""The caller's address, for ClientIP affinity behind the gateway."""
EMPTY_HEADER = "x-landbridge-empty"
"""Set by the gateway alone, on its own answer that there is no endpoint: the request reached nobody, so the waypoint
may ask the other side in the second before the health check says the same."""
SIDE_HEADER = "x-landbridge-side"
"""`source` or `target`, from a trusted caller: this one request goes to that side. Taken off on the way, always."""
SHADOW_HEADER = "x-landbridge-shadow"
"""`true` on a copy, for the application to tell; what carries it is never copied again."""
FORWARDED_HEADER = "x-landbridge-forwarded"
"""The X-Forwarded-For of a copy on its way inside Envoy, which appends an address of its own to each copy's."""
OF = "of"
"""The tag that says what a request was (empty: any other), from its route's metadata."""
ASKED, SAFE, COPY = "asked", "safe", "copy"
"""Sent by the header; one of those of which a share is copied; a copy."""
STATS_PREFIX = "landbridge"
ABANDONED_MS = 1000
"""A caller that leaves after so long without a first byte has waited in vain: the only trace of a copy that hangs."""
_DURATION = '%COALESCE({"operators":["RESPONSE_DURATION","DURATION"]})%'
"""Time to the first byte of the answer, so that streams do not count as slow; to the end when there was none."""
_SILENT = (
    "%CEL(response.total_size > 0 ? 'no' : "
    "(request.total_size > 0 && request.duration < duration('5s') ? 'asked' : 'yes'))%"
)
"""Whether a connection ended without one byte from its server, and whether the caller had soon asked for some: what a
gateway that cannot reach the pod looks like from here. Probes ask nothing; a log collector never answers."""
_LOGGER = "envoy.extensions.access_loggers.stats.v3.Config"
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def connection_manager(stat_prefix: str, http_filters: list[Json], **fields: object) -> Json:
    """The network filter for HTTP/1.0, HTTP/1.1 and HTTP/2, as transparent as Envoy can be made.

    `use_remote_address` stays false: true turned `X-Forwarded-Proto: https` into `http` and made redirect loops.
    """
    config = typed(
        _HCM,
        stat_prefix=stat_prefix,
        codec_type="AUTO",
        use_remote_address=False,
        generate_request_id=False,
        preserve_external_request_id=True,
        forward_client_cert_details="ALWAYS_FORWARD_ONLY",
        server_header_transformation="PASS_THROUGH",
        path_with_escaped_slashes_action="KEEP_UNCHANGED",
        proxy_100_continue=True,
        max_request_headers_kb=MAX_HEADER_KB,
        stream_idle_timeout="0s",
        request_timeout="0s",
        request_headers_timeout="0s",
        common_http_protocol_options={"idle_timeout": "0s", "max_headers_count": MAX_HEADERS},
        http_protocol_options={"accept_http_10": True, "header_key_format": preserve_case()},
        http2_protocol_options={"allow_connect": True, "max_concurrent_streams": 2_147_483_647},
        upgrade_configs=[{"upgrade_type": kind} for kind in UPGRADES],
        http_filters=[*http_filters, _router()],
        **fields,
    )
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def health_check(path: str, clusters: tuple[str, ...] = ()) -> Json:
    """Answers `path` itself: 200, or 503 after `/healthcheck/fail` or when one of `clusters` has no healthy host."""
    config = typed(
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"exact": path}}],
        **({"cluster_min_healthy_percentages": {name: {"value": 1.0} for name in clusters}} if clusters else {}),
    )
    return {"name": "envoy.filters.http.health_check", "typed_config": config}


def count_requests(key: str) -> list[Json]:
    """Access loggers that count each ended request by who was asked, who answered, and how it ended.

    Envoy's cluster counters cannot be used for this: they charge a fallback to the side that did not answer, and count
    a reset both as reset and as 503. What is good and what is bad is decided in counters.py, from these tags.
    """
    of, flags = {OF: f"%METADATA(ROUTE:{METADATA}:{OF})%"}, {"flags": "%RESPONSE_FLAGS%"}
    to = of | flags | {"to": "%UPSTREAM_CLUSTER%"}
    tags = _tags(key, to | {"code": "%RESPONSE_CODE%", "grpc": "%GRPC_STATUS_NUMBER%"})
    plain = _tags(key, of)
    waited = [
        _comparison("status_code_filter", "EQ", 0, "landbridge.none"),
        _comparison("duration_filter", "GE", ABANDONED_MS, "landbridge.abandoned"),
    ]
    left = _tags(key, to)
    return [
        _logger(
            counters=[_counter("rq", tags)],
            histograms=[{"stat": _stat("ms", plain), "unit": "Milliseconds", "value_format": _DURATION}],
        ),
        _logger(counters=[_counter("left", left)]) | {"filter": {"and_filter": {"filters": waited}}},
    ]


def header(name: str, value: str, *, append: bool = False) -> Json:
    """A header to add, in place of what is there unless it is appended."""
    action = "APPEND_IF_EXISTS_OR_ADD" if append else "OVERWRITE_IF_EXISTS_OR_ADD"
    return {"header": {"key": name, "value": value}, "append_action": action}


def is_of(kind: str) -> Json:
    """The metadata of a route whose requests are counted apart."""
    return {"filter_metadata": {METADATA: {OF: kind}}}


def count_connections(key: str) -> list[Json]:
    """Access loggers of a TCP chain: opened, ended and open now, by the side whose endpoint it is."""
    tags = _tags(key, {"flags": "%RESPONSE_FLAGS%", "type": "%ACCESS_LOG_TYPE%", "silent": _SILENT})
    gauge = {
        "stat": _stat("cx_open", _tags(key, {})),
        "value_fixed": 1,
        "add_subtract": {"add_log_type": "TcpUpstreamConnected", "sub_log_type": "TcpConnectionEnd"},
    }
    return [_logger(counters=[_counter("cx", tags)], gauges=[gauge])]


def _tags(key: str, more: dict[str, str]) -> list[Json]:
    tags = {"route": key, "by": f"%UPSTREAM_METADATA({METADATA}:backend)%"} | more
    return [{"name": name, "value_format": value} for name, value in sorted(tags.items())]


def _stat(name: str, tags: list[Json]) -> Json:
    return {"name": name, "tags": tags}


def _counter(name: str, tags: list[Json]) -> Json:
    return {"stat": _stat(name, tags), "value_fixed": 1}


def _logger(**stats: list[Json]) -> Json:
    return {
        "name": "envoy.access_loggers.stats",
        "typed_config": typed(_LOGGER, stats_scope={"prefix": STATS_PREFIX}, **stats),
    }


def _comparison(name: str, operator: str, value: int, runtime: str) -> Json:
    return {name: {"comparison": {"op": operator, "value": {"default_value": value, "runtime_key": runtime}}}}


def _router() -> Json:
    config = typed("envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    return {"name": "envoy.filters.http.router", "typed_config": config}
