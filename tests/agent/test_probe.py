from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent.probe import AGAIN, EVERY, TIMEOUT, Health


def test_one_failure_is_not_enough_and_one_success_is() -> None:
    health = Health(ready=True).after(answered=False)
    assert health.ready
    assert health.after(answered=False).ready is False
    assert health.after(answered=False).after(answered=True) == Health(ready=True)


def test_who_was_never_seen_is_not_ready_before_it_answers() -> None:
    """linkerd.md 1.16 point 8: no liveness is assumed at a start."""
    assert Health().ready is None
    assert Health().after(answered=False).ready is False
    assert Health().after(answered=True).ready is True


def test_a_remote_that_swallows_packets_shows_within_ten_seconds() -> None:
    assert EVERY + TIMEOUT + AGAIN + TIMEOUT < 10


@given(st.lists(st.booleans(), min_size=2))
def test_the_last_two_answers_decide(answers: list[bool]) -> None:
    health = Health()
    for answered in answers:
        health = health.after(answered=answered)
    assert health.ready is any(answers[-2:])
