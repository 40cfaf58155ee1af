"""Laws 4 and 11: expiry is what one observer saw itself, under a live API server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws import lease
from landbridge.laws.law import Law
from landbridge.laws.lease import Expiry, LeaseView

# what happens each half second: the runner renews, the API answers without news, or it does not answer
Happening = str
happenings = st.lists(st.sampled_from(["renewed", "answered", "silent"]), max_size=120)


def live_through(events: list[Happening], start: float = 1000.0) -> tuple[LeaseView | None, float]:
    """The view of an agent after so many half seconds."""
    view, at, mark = None, start, 0
    for event in events:
        at += 0.5
        mark += event == "renewed"
        if event != "silent":
            view = lease.see(view, mark=str(mark), holder="run-1", token=1, at=at)
    return view, at


def answered_without_a_break(events: list[Happening]) -> float:
    """How long, up to the last answer, the API answered (no gap above 3 s) with the same mark: the truth."""
    still = 0.0
    since_answer: int | None = None
    for i, event in enumerate(events):
        if event == "silent":
            continue
        gap = lease.TTL if since_answer is None else (i - since_answer) * 0.5
        still = 0.0 if event == "renewed" or gap > lease.GAP else still + gap
        since_answer = i
    return still


@given(happenings)
def test_expired_exactly_when_still_for_the_ttl_under_a_live_api(events: list[Happening]) -> None:
    view, at = live_through(events)
    silent = next((i for i, e in enumerate(reversed(events)) if e != "silent"), len(events)) * 0.5
    known = lease.expiry(view, at=at)
    if view is None or silent > lease.GAP:
        assert known is Expiry.UNKNOWN
    else:
        assert known is (Expiry.EXPIRED if answered_without_a_break(events) >= lease.TTL else Expiry.HELD)


@given(st.floats(-1e9, 1e9))
def test_only_differences_of_the_observers_own_time_count(origin: float) -> None:
    events = ["renewed"] + ["answered"] * 31
    view, at = live_through(events, origin)
    assert lease.expiry(view, at=at) is Expiry.EXPIRED


def test_a_dead_api_for_a_minute_expires_nothing_and_the_runner_gets_its_time_again() -> None:
    view, at = live_through(["renewed"] + ["answered"] * 20)
    assert lease.expiry(view, at=at + 60) is Expiry.UNKNOWN
    view = lease.see(view, mark="1", holder="run-1", token=1, at=at + 60)
    assert lease.expiry(view, at=at + 60) is Expiry.HELD
    for i in range(1, 16):
        view = lease.proof_of_life(view, at=at + 60 + i)
    assert lease.expiry(view, at=at + 75) is Expiry.EXPIRED


@given(happenings, st.sampled_from(["home", "stay"]), st.integers(0, 5), st.integers(0, 5))
def test_home_only_when_expired_and_home_is_ready_and_sized(
    events: list[Happening], policy: str, ready: int, wanted: int
) -> None:
    view, at = live_through(events)
    refusal = lease.may_go_home(view, at=at, policy=policy, ready=ready, wanted=wanted)
    expired = lease.expiry(view, at=at) is Expiry.EXPIRED
    assert (refusal is None) is (expired and policy == "home" and ready >= max(wanted, 1))
    assert refusal is None or refusal.law is Law.DEAD_RUNNER


@given(st.integers(0, 500), st.floats(0, 60))
def test_many_expired_splits_are_paced(gone: int, elapsed: float) -> None:
    may = lease.is_its_turn(gone, since=100.0, at=100.0 + elapsed)
    assert may is (gone < 1 + lease.PER_SECOND * ((100.0 + elapsed) - 100.0))


@given(st.sampled_from(["run-1", "run-2"]), st.integers(1, 3), st.floats(0, 40))
def test_only_the_holder_with_the_present_token_writes_and_only_while_fresh(
    holder: str, token: int, age: float
) -> None:
    live = LeaseView(mark="m", holder="run-1", token=2, still_since=50.0, live_at=50.0)
    refusal = lease.may_write(holder=holder, token=token, live=live, at=50.0 + age)
    fresh = (50.0 + age) - 50.0 < lease.TTL
    assert (refusal is None) is (holder == "run-1" and token == 2 and fresh)


def test_no_lease_no_writing() -> None:
    refusal = lease.may_write(holder="run-1", token=1, live=None, at=0.0)
    assert refusal is not None
    assert refusal.law is Law.ONE_WRITER
