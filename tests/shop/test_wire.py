"""Messages, faults and names of schedules, as data."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.lab.shop.report import scheduled_time
from landbridge.lab.shop.wire.fault import SOUND, Fault, Harm, parse_fault
from landbridge.lab.shop.wire.lines import read_marks
from landbridge.lab.shop.wire.message import Message, Reader, WireError, render_chunk, render_head
from landbridge.lab.shop.wire.process import read_settings
from landbridge.lab.shop.wire.trail import Place, Trail
from tests.fakes import FakeClock

TOKENS = st.text("abcdefghij-", min_size=1, max_size=12)
VALUES = st.text("abc 0123;=/@,", max_size=20).map(str.strip)
HEADERS = st.dictionaries(
    TOKENS.filter(lambda name: name not in {"content-length", "transfer-encoding"}), VALUES, max_size=5
)
BODIES = st.binary(max_size=300)
SHARES = st.floats(0, 1)


@st.composite
def sent(draw: st.DrawFn) -> tuple[bytes, dict[str, str], bytes]:
    """A message as bytes, with the headers and the body that must come out."""
    headers, body = draw(HEADERS), draw(BODIES)
    if draw(st.booleans()):
        headers["content-length"] = str(len(body))
        return render_head("HTTP/1.1 200 OK", headers) + body, headers, body
    headers["transfer-encoding"] = "chunked"
    cuts = draw(st.lists(st.integers(0, len(body)), max_size=4).map(sorted))
    parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]
    chunks = b"".join(map(render_chunk, [*parts, b""]))
    return render_head("HTTP/1.1 200 OK", headers) + chunks, headers, body


@given(st.lists(sent(), min_size=1, max_size=4), st.data())
def test_messages_come_out_however_the_bytes_were_cut(
    messages: list[tuple[bytes, dict[str, str], bytes]], data: st.DataObject
) -> None:
    stream = b"".join(raw for raw, _, _ in messages)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10).map(sorted))
    reader, came = Reader(), list[Message]()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        reader.feed(stream[start:end])
        while message := reader.take():
            came.append(message)
    assert [(message.headers, message.body) for message in came] == [(headers, body) for _, headers, body in messages]
    assert reader.empty


@given(st.binary(max_size=200))
def test_foreign_bytes_are_a_message_or_an_error(data: bytes) -> None:
    reader = Reader()
    reader.feed(data + b"\r\n\r\n")
    with suppress(WireError):
        reader.take()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nnonsense\r\n\r\n",
        b"a\r\ncontent-length: -1\r\n\r\n",
        b"a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_a_message_is_refused(raw: bytes) -> None:
    reader = Reader()
    reader.feed(raw)
    with pytest.raises(WireError):
        reader.take()


@given(SHARES, SHARES, SHARES, st.floats(0, 1, exclude_max=True))
def test_a_chance_falls_into_one_share(fail: float, hang: float, reset: float, chance: float) -> None:
    harm = Fault(fail=fail, hang=hang, reset=reset).harm(chance)
    if chance < fail:
        assert harm is Harm.FAIL
    elif chance < fail + hang - 1e-9:
        assert harm is Harm.HANG
    elif chance > fail + hang + reset + 1e-9:
        assert harm is Harm.NONE


@given(st.builds(Fault, fail=SHARES, slow_ms=SHARES, hang=SHARES, hang_ms=SHARES, reset=SHARES))
def test_a_fault_survives_redis(fault: Fault) -> None:
    assert parse_fault(fault.to_json().encode()) == fault


@pytest.mark.parametrize("text", ["{", "[]", '{"fial": 1}', '{"fail": "a"}', '{"fail": -1}', '{"fail": null}'])
def test_what_is_not_a_fault_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_fault(text)


def test_no_fault_is_sound() -> None:
    assert parse_fault(None) == SOUND


@given(st.integers(20_000_000, 60_000_000))
def test_the_scheduled_time_is_in_the_jobs_name(minutes: int) -> None:
    assert scheduled_time(f"report-{minutes}", FakeClock()) == minutes * 60
    assert scheduled_time("report-by-hand", FakeClock()) == FakeClock().now()


@pytest.mark.parametrize(
    ("node", "cluster"), [("legacy", "legacy"), ("legacy-2", "legacy"), ("eks-12", "eks"), ("", "unknown")]
)
def test_the_cluster_is_the_nodes_name_without_its_number(node: str, cluster: str) -> None:
    assert read_settings("web", 8080, {"NODE_NAME": node}).cluster == cluster


def test_addresses_take_the_port_of_the_default() -> None:
    settings = read_settings("web", 8080, {"A": "10.0.0.1", "B": "10.0.0.1:99"})
    assert [settings.address(name, "redis:6379") for name in "ABC"] == [
        ("10.0.0.1", 6379),
        ("10.0.0.1", 99),
        ("redis", 6379),
    ]


def test_a_trail_tells_all_and_marks_pass_through() -> None:
    below = Trail(place=Place(service="payments", cluster="eks"))
    below.broken = str(below.place)
    top = Trail(place=Place(service="web", cluster="legacy"))
    top.follow(below.headers())
    assert top.headers() == {
        "x-served-by": "legacy",
        "x-served-chain": "web@legacy,payments@eks",
        "x-broken-copy": "payments@eks",
    }


def test_marks_in_a_banner() -> None:
    assert read_marks("LEDGER ready x-served-by=eks x=1 word") == {"x-served-by": "eks"}
