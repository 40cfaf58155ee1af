"""A shadow: a share of the safe requests is copied to a side at weight 0, and nobody waits for the copies' answers.

Envoy writes no access log for copies, and a cluster's own counters know neither gRPC statuses nor who cut a connection.
So copies go through a listener of their own inside Envoy (nothing outside can reach it, and it leads to one side alone,
so it cannot loop) with the same access loggers as real requests have: one definition of bad and of slow for both.

Safe are GET and HEAD without a body and without an upgrade; what is a copy already is not copied again. All safe
requests are counted apart too, copied or not, for only like is compared with like: writes fail in other ways.
"""

from __future__ import annotations

from landbridge.envoy.clusters import copies, one_version
from landbridge.envoy.header import leave
from landbridge.envoy.http import (
    CLIENT_HEADER,
    COPY,
    FORWARDED_HEADER,
    PROTOCOL_HEADER,
    SAFE,
    SHADOW_HEADER,
    connection_manager,
    count_requests,
    header,
    is_of,
)
from landbridge.envoy.names import Json, shadow_name, side_name, version_name
from landbridge.envoy.state import Backend, Listener

LONGEST = "30s"
"""A copy that still goes on is cut then, which counts as slow and not as bad: a long poll lasts as long for everybody.

Longer than the last bucket of the histograms, so that a cut copy lies above every bound."""
VERSIONS = ("http1", "http2")


def clusters(item: Listener) -> list[Json]:
    """What copies need: the way into their listener, and for a side here one cluster for each version of HTTP."""
    if item.shadow is None:
        return []
    backend = _backend(item)
    made = [copies(shadow_name(item.key, backend.service))]
    if backend.remote is None:
        made += [
            one_version(version_name(item.key, backend.service, version), backend, version, affinity=item.affinity)
            for version in VERSIONS
        ]
    return made


def names(item: Listener) -> list[str]:
    """The clusters that routes of copies name, for Envoy to check that they are there."""
    return [cluster["name"] for cluster in clusters(item)]


def listener(item: Listener, key_state: str, rds: Json) -> Json:
    """The listener inside Envoy that copies go through; its key for the route table is its name."""
    assert item.shadow is not None
    name = shadow_name(item.key, item.shadow.service)
    # the same prefix as real requests: Envoy names a subscription after the first listener that has it
    manager = connection_manager("waypoint", [], rds=rds, access_log=count_requests(item.key))
    return {
        "name": name,
        "internal_listener": {},
        "filter_chains": [{"filters": [leave((key_state, name)), manager]}],
    }


def copied(item: Listener, like: Json) -> Json:
    """The route of safe requests: as all others go, and a copy of some."""
    assert item.shadow is not None
    mutations = [
        header(SHADOW_HEADER, "true"),
        header(PROTOCOL_HEADER, "%PROTOCOL%"),
        header(FORWARDED_HEADER, "%REQ(X-FORWARDED-FOR)%"),
    ]
    if item.affinity and _backend(item).remote is not None:
        mutations.append(header(CLIENT_HEADER, "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"))
    mirror = {
        "cluster": shadow_name(item.key, item.shadow.service),
        "runtime_fraction": {"default_value": {"numerator": item.shadow.percent, "denominator": "HUNDRED"}},
        "disable_shadow_host_suffix_append": True,
        "trace_sampled": False,
        "request_headers_mutations": [{"append": mutation} for mutation in mutations],
    }
    return like | {
        "match": {"prefix": "", "headers": _safe()},
        "metadata": is_of(SAFE),
        "route": like["route"] | {"request_mirror_policies": [mirror]},
    }


def ways(item: Listener, like: Json) -> list[Json]:
    """The routes of copies: to their side alone, in the version of HTTP in which the original came."""
    backend = _backend(item)
    if backend.remote is not None:  # the gateway chooses, by the header
        return [_way(item, like, side_name(item.key, backend.service))]
    one, two = (version_name(item.key, backend.service, version) for version in VERSIONS)
    asked = {"name": PROTOCOL_HEADER, "string_match": {"exact": "HTTP/2"}}
    off = {"request_headers_to_remove": [PROTOCOL_HEADER]}
    return [
        _way(item, like, two) | off | {"match": {"prefix": "", "headers": [asked]}},
        _way(item, like, one) | off,
    ]


def _way(item: Listener, like: Json, cluster: str) -> Json:
    route = {key: value for key, value in like["route"].items() if key != "weighted_clusters"}
    if item.affinity:  # the connection is Envoy's own; the caller is known by its header only
        route["hash_policy"] = [{"header": {"header_name": "x-forwarded-for"}}]
    return like | {
        "metadata": is_of(COPY),
        "route": route | {"cluster": cluster, "timeout": LONGEST},
        "request_headers_to_add": [header("x-forwarded-for", f"%REQ({FORWARDED_HEADER})%")],
    }


def _backend(item: Listener) -> Backend:
    assert item.shadow is not None
    service = item.shadow.service
    return next(backend for backend in item.backends if backend.service == service)


def _safe() -> list[Json]:
    empty = {"string_match": {"safe_regex": {"regex": "0*"}}, "treat_missing_header_as_empty": True}
    return [
        {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        {"name": "content-length"} | empty,
        *({"name": name, "present_match": False} for name in ("transfer-encoding", "upgrade", SHADOW_HEADER)),
    ]
