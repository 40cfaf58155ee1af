"""Verdicts: each reason to hold, in its situation; advance only when none is left."""

from __future__ import annotations

import pytest

from landbridge import judge
from landbridge.judge import Counts, Decision, JudgeState, Reason, Verdict
from tests.judge.traffic import look, ramp


def watch(state: JudgeState, counts: Counts, *, weight: int, seconds: int, start: float = 0.0) -> JudgeState:
    for i in range(1, seconds + 1):
        state = judge.observe(state, counts, weight=weight, at=start + i)
    return state


def ask(state: JudgeState, at: float, *, started: float = 0.0, dwell: float = 60.0) -> Verdict:
    return judge.verdict(state, step_started=started, dwell=dwell, at=at)


QUIET = look((10, 0), (190, 0))


def test_a_healthy_step_advances_when_its_dwell_is_over_and_not_before() -> None:
    state = watch(judge.start(), QUIET, weight=5, seconds=60)
    assert ask(state, 60.0).decision is Decision.ADVANCE
    early = watch(judge.start(), QUIET, weight=5, seconds=59)
    assert ask(early, 59.0).reason is Reason.DWELL


def test_no_look_yet() -> None:
    assert ask(judge.start(), 10.0).reason is Reason.NO_DATA


def test_stale() -> None:
    state = watch(judge.start(), QUIET, weight=5, seconds=60)
    assert ask(state, 66.0).reason is Reason.STALE


def test_a_side_with_no_traffic_is_never_judged() -> None:
    no_target = watch(judge.start(), look((0, 0), (200, 50)), weight=5, seconds=60)
    assert ask(no_target, 60.0).reason is Reason.NO_DATA
    no_source = watch(judge.start(), look((200, 200), (0, 0)), weight=99, seconds=60)
    assert ask(no_source, 60.0).reason is Reason.NO_CONTROL
    assert ask(watch(judge.start(), look((200, 0), (1, 0)), weight=100, seconds=60), 60.0).reason is Reason.NO_CONTROL
    nobody = watch(judge.start(), {}, weight=5, seconds=60)
    assert ask(nobody, 60.0).reason is Reason.NO_DATA


def test_own_restart_holds_until_a_block_closes() -> None:
    state = judge.restart_block(watch(judge.start(), QUIET, weight=5, seconds=60), "the runner was restarted")
    assert ask(state, 60.0).reason is Reason.OWN_RESTART
    state = watch(state, look((90, 90), (1, 0)), weight=5, seconds=1, start=60.0)
    assert state.total.bad_new == 0
    assert ask(state, 61.0).reason is Reason.OWN_RESTART
    state = watch(state, QUIET, weight=5, seconds=1, start=61.0)
    assert ask(state, 62.0).decision is Decision.ADVANCE


def test_block_not_closed() -> None:
    state = judge.observe(judge.start(), look((2, 0), (40, 0)), weight=5, at=60.0)
    assert ask(state, 60.0).reason is Reason.BLOCK_OPEN


def test_evidence_growing_holds_for_five_dwells() -> None:
    """It is never forgotten: one unlucky failure must not hold a healthy service for good."""
    state = judge.start(latency=False)
    state = judge.observe(state, look((10, 1), (190, 0)), weight=5, at=1.0)
    state = judge.observe(state, look((10, 0), (190, 0)), weight=5, at=60.0)
    assert 2.0 < state.evidence < 100.0
    answer = ask(state, 60.0)
    assert (answer.decision, answer.reason, answer.person) == (Decision.HOLD, Reason.EVIDENCE, False)
    late = judge.observe(state, look((10, 0), (190, 0)), weight=5, at=300.0)
    assert ask(judge.observe(state, look((10, 0), (190, 0)), weight=5, at=299.0), 299.0).reason is Reason.EVIDENCE
    assert ask(late, 300.0).decision is Decision.ADVANCE


def test_too_little_traffic_to_decide() -> None:
    """Five of a hundred requests at 1 %: had all to the target failed, one could not tell."""
    state = judge.observe(judge.start(bursts=judge.Bursts.REQUEST), look((1, 0), (99, 0)), weight=1, at=60.0)
    assert ask(state, 60.0).reason is Reason.TOO_LITTLE
    wanted = watch(judge.start(must_see=10.0), look((2, 0), (198, 0)), weight=1, seconds=60)
    assert ask(wanted, 60.0).reason is Reason.TOO_LITTLE
    longer = watch(judge.start(must_see=10.0), look((2, 0), (198, 0)), weight=1, seconds=300)
    assert ask(longer, 300.0).decision is Decision.ADVANCE


def test_the_pass_test_wants_evidence_and_not_only_absence_of_alarm() -> None:
    begun = judge.start(pass_below=3.0, bursts=judge.Bursts.REQUEST)
    state = watch(begun, look((100, 0), (100, 0)), weight=50, seconds=60)
    assert ask(state, 60.0).reason is Reason.NOT_PASSED
    for at in range(61, 61 + 200):
        sides = look((100, at % 5 == 0), (100, at % 5 == 1))
        state = judge.observe(state, sides, weight=50, at=float(at))
    assert ask(state, 260.0).decision is Decision.ADVANCE
    again = judge.observe(judge.change_weight(state), look((130, 0), (70, 0)), weight=65, at=261.0)
    assert ask(again, 261.0, started=200.0).reason is Reason.NOT_PASSED


def before(bad: int) -> JudgeState:
    state = watch(judge.start(slo=0.05), look((0, 0), (200, bad)), weight=0, seconds=20)
    return judge.change_weight(state)


def test_both_sides_bad_is_a_shared_fault_and_holds() -> None:
    state = watch(before(0), look((50, 2), (150, 6)), weight=25, seconds=60, start=20.0)
    assert ask(state, 80.0, started=20.0).reason is Reason.SHARED_FAULT


def test_total_errors_above_the_slo_hold() -> None:
    state = watch(before(9), look((20, 2), (180, 16)), weight=10, seconds=60, start=20.0)
    assert ask(state, 80.0, started=20.0).reason is Reason.SLO


def test_errors_above_the_level_before_the_ramp_hold_even_while_they_prove_nothing() -> None:
    state = judge.start(latency=False)
    state = judge.change_weight(watch(state, look((0, 0), (200, 0)), weight=0, seconds=20))
    state = watch(state, look((196, 1), (4, 0)), weight=98, seconds=60, start=20.0)
    answer = ask(state, 80.0, started=20.0)
    assert answer.decision is Decision.HOLD
    assert answer.reason in (Reason.LEVEL, Reason.EVIDENCE)


def test_rolling_back_on_the_slo_is_another_policy_and_off_by_default() -> None:
    counts = look((100, 8), (100, 8))
    assert ask(watch(judge.start(slo=0.05), counts, weight=50, seconds=60), 60.0).decision is Decision.HOLD
    answer = ask(watch(judge.start(slo=0.05, slo_rolls_back=True), counts, weight=50, seconds=60), 60.0)
    assert (answer.decision, answer.reason) == (Decision.ROLL_BACK, Reason.SLO)
    assert "outside the promise" in answer.detail


@pytest.mark.parametrize("seed", range(3))
def test_a_ramp_of_a_healthy_service_ends_and_of_a_broken_one_rolls_back_early(seed: int) -> None:
    healthy = list(ramp(judge.start(), 0.001, 0.001, seed=seed, dwell=10.0))
    assert healthy[-1][1].decision is not Decision.ROLL_BACK
    assert healthy[-1][0].weight == 99
    broken = list(ramp(judge.start(), 0.2, 0.001, seed=seed, dwell=10.0))
    assert broken[-1][1].decision is Decision.ROLL_BACK
    assert broken[-1][0].total.bad_new <= 8
    assert "requests failed on the target" in str(broken[-1][1])
