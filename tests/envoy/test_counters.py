"""From statistics to what the judge counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.envoy.counters import acknowledged, counters, health, is_bad, overflows, refused
from landbridge.model.service import Protocol
from tests.envoy.pair import KEY, LOCAL, REMOTE, Addresses, waypoint_state
from tests.envoy.states import pure

STATE = waypoint_state(Addresses("127.78.0"), 50)
WEB = KEY[Protocol.HTTP]


def stat(name: str, value: int | str) -> dict[str, int | str]:
    return {"name": name, "value": value}


@pytest.mark.parametrize(
    ("code", "flags", "grpc", "bad"),
    [
        (200, "-", None, False),
        (404, "-", None, False),
        (500, "-", None, True),
        (503, "UC", None, True),
        (503, "UH", None, True),
        (200, "UPE", None, True),  # cut in the middle
        (200, "UR", None, True),
        (101, "UC", None, False),  # the end of a WebSocket
        (0, "DC", None, False),  # left; counted apart when it had waited
        (200, "DR", 2, False),  # left a stream
        (200, "-", 0, False),
        (200, "-", 5, False),  # NOT_FOUND
        (200, "-", 8, False),  # RESOURCE_EXHAUSTED
        (200, "-", 12, True),
        (200, "-", 13, True),
        (200, "-", 14, True),
        (503, "-", 14, True),
        (400, "DPE", None, False),
    ],
)
def test_what_is_bad(code: int, flags: str, grpc: int | None, bad: bool) -> None:
    assert is_bad(code, flags.split(","), grpc) is bad


def test_a_fallback_counts_for_the_side_that_answered_and_apart() -> None:
    end = f"route.{WEB}.to.{WEB}|{REMOTE}|or"
    stats = {
        "stats": [
            stat(f"landbridge.rq.by.{LOCAL}.code.200.flags.-.grpc..{end}", 5),
            stat(f"landbridge.rq.by.{REMOTE}.code.503.flags.-.grpc..{end}", 3),
            stat(f"landbridge.rq.by.-.code.503.flags.UH.grpc..{end}", 2),
        ]
    }
    seen = counters(stats, STATE)[WEB]["backends"]
    assert (seen[LOCAL]["total"], seen[LOCAL]["bad"], seen[LOCAL]["fallbacks"]) == (5, 0, 0)
    assert (seen[REMOTE]["total"], seen[REMOTE]["bad"], seen[REMOTE]["fallbacks"]) == (5, 5, 5)


ENDS = st.tuples(
    st.sampled_from([LOCAL, REMOTE, "-"]),
    st.sampled_from([0, 101, 200, 404, 500, 503]),
    st.sampled_from(["-", "UC", "UH", "DC", "UF,URX"]),
    st.sampled_from(["", "0", "5", "13"]),
    st.sampled_from([LOCAL, REMOTE]),
    st.booleans(),
)


@pure
@given(st.dictionaries(ENDS, st.integers(1, 1000)))
def test_bad_never_exceeds_total_and_nothing_is_lost(ends: dict[tuple[str, int, str, str, str, bool], int]) -> None:
    stats = {
        "stats": [
            stat(
                f"landbridge.rq.by.{by}.code.{code}.flags.{flags}.grpc.{grpc}.route.{WEB}.to.{WEB}|{to}{'|or' * over}",
                n,
            )
            for (by, code, flags, grpc, to, over), n in ends.items()
        ]
    }
    seen = counters(stats, STATE)[WEB]["backends"]
    assert all(0 <= side["bad"] <= side["total"] for side in seen.values())
    assert sum(side["total"] for side in seen.values()) == sum(ends.values())


@pure
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_failed_connections_are_those_that_ended_without_having_been_open(
    opened: int, retried: int, failed: int, still: int
) -> None:
    key = KEY[Protocol.TCP]
    still = min(still, opened + retried)
    end = f"by.{LOCAL}.flags.{{}}.route.{key}.silent.{{}}.type.{{}}"
    stats = {
        "stats": [
            stat("landbridge.cx." + end.format("-", "yes", "TcpUpstreamConnected"), opened),
            stat("landbridge.cx." + end.format("UF", "yes", "TcpUpstreamConnected"), retried),
            stat("landbridge.cx." + end.format("-", "no", "TcpConnectionEnd"), opened + retried - still),
            stat("landbridge.cx." + end.format("UF,URX", "asked", "TcpConnectionEnd"), failed),
            stat(f"landbridge.cx_open.by.{LOCAL}.route.{key}", still),
        ]
    }
    side = counters(stats, STATE)[key]["backends"][LOCAL]
    assert side["total"] == opened + retried + failed
    assert side["bad"] == failed
    assert side["active"] == still
    assert side["fallbacks"] == retried


def test_histograms_become_counts_of_the_slower() -> None:
    buckets = [{"upper_bound": edge, "cumulative": count} for edge, count in ((1, 2), (2, 7), (10000, 9))]
    name = f"landbridge.ms.by.{LOCAL}.route.{WEB}"
    seen = counters({"stats": [{"histograms": [{"name": name, "buckets": buckets}]}]}, STATE)
    assert seen[WEB]["backends"][LOCAL]["slower_ms"] == {"1": 7, "2": 2, "10000": 0}


def test_what_envoy_obeys_and_refuses() -> None:
    stats = {
        "stats": [
            stat("cluster_manager.cds.version_text", "a"),
            stat("http.waypoint.rds.routes.version_text", "b"),
            stat("http.waypoint.rds.routes.update_rejected", 2),
            stat("listener_manager.lds.update_failure", 0),
        ]
    }
    assert acknowledged(stats) == {"clusters.pb": "a", "routes.pb": "b"}
    assert refused(stats) == {"routes.pb": 2}


def test_health_of_the_remote_sides() -> None:
    stats = {
        "stats": [
            stat("cluster.shop/web/80|web-eks.membership_healthy", 1),
            stat("cluster.shop/web/80|web-eks.membership_total", 2),
            stat("cluster.shop/web/80|web-eks|or.membership_total", 0),
            stat("cluster.shop/web/80|tcp.membership_total", 3),
        ]
    }
    assert health(stats) == {"shop/web/80": {"web-eks": (1, 2)}}


def test_overflows_are_an_alarm() -> None:
    stats = {
        "stats": [stat("cluster.a|b.upstream_rq_pending_overflow", 1), stat("cluster.a|b.upstream_cx_overflow", 0)]
    }
    assert overflows(stats) == {"cluster.a|b.upstream_rq_pending_overflow": 1}


def ended(by: str, of: str, code: int, count: int, flags: str = "-") -> dict[str, int | str]:
    return stat(f"landbridge.rq.by.{by}.code.{code}.flags.{flags}.grpc..of.{of}.route.{WEB}.to.{WEB}|{by}", count)


def test_copies_and_what_was_asked_by_header_are_counted_apart() -> None:
    stats = {
        "stats": [
            ended(LOCAL, "", 200, 10),
            ended(LOCAL, "safe", 200, 7),
            ended(LOCAL, "safe", 503, 1),
            ended(REMOTE, "copy", 200, 2),
            ended(REMOTE, "copy", 500, 3),
            ended(REMOTE, "copy", 504, 4, "UT"),  # cut by our limit
            ended(REMOTE, "asked", 500, 99),
            stat(f"landbridge.left.by.{REMOTE}.flags.DC.of.asked.route.{WEB}.to.{WEB}|{REMOTE}", 9),
        ]
    }
    found = counters(stats, STATE)[WEB]
    assert {side: (n["total"], n["bad"]) for side, n in found["backends"].items()} == {LOCAL: (18, 1), REMOTE: (0, 0)}
    assert {side: (n["total"], n["bad"]) for side, n in found["shadow"].items()} == {LOCAL: (8, 1), REMOTE: (9, 3)}
    assert "shadow" not in counters({"stats": [ended(LOCAL, "", 200, 1)]}, STATE)[WEB]


def test_latencies_of_safe_requests_are_added_to_those_of_the_others() -> None:
    def histogram(of: str, *counts: int) -> dict[str, Any]:
        buckets = [{"upper_bound": edge, "cumulative": n} for edge, n in zip((1, 10000), counts, strict=True)]
        return {"name": f"landbridge.ms.by.{LOCAL}.of.{of}.route.{WEB}", "buckets": buckets}

    stats = {"stats": [{"histograms": [histogram("", 2, 9), histogram("safe", 1, 4), histogram("asked", 0, 50)]}]}
    found = counters(stats, STATE)[WEB]
    assert found["backends"][LOCAL]["slower_ms"] == {"1": 10, "10000": 0}
    assert found["shadow"][LOCAL]["slower_ms"] == {"1": 3, "10000": 0}


def test_copies_above_their_limit_are_no_alarm() -> None:
    stats = {"stats": [stat(f"cluster.{WEB}|{REMOTE}|shadow.upstream_rq_pending_overflow", 7)]}
    assert overflows(stats) == {}
