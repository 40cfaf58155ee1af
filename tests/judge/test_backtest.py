"""Back-tests: the same verdict as live, every mistake with its line and column, never a traceback."""

from __future__ import annotations

import json
import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge import judge
from landbridge.errors import DocumentError
from landbridge.judge.backtest import COLUMNS, backtest
from landbridge.judge.state import Settings
from landbridge.judge.verdict import Decision, Reason
from landbridge.model.service import Side
from tests.judge.traffic import second

HEAD = ",".join(COLUMNS)


def recorded(bad_new: float, *, percent: int = 10, seconds: int = 300, seed: int = 3) -> list[dict[str, int]]:
    """A recorded stretch at one weight."""
    rng, rows = random.Random(seed), []
    for at in range(seconds):
        sides = second(rng, percent, bad_new, 0.001)["legacy"]
        new, old = sides[Side.TARGET], sides[Side.SOURCE]
        cells = (at, new.n, new.bad, old.n, old.bad)
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def as_csv(rows: list[dict[str, int]]) -> str:
    return "\n".join([HEAD, *(",".join(str(row[c]) for c in COLUMNS) for row in rows)]) + "\n"


def test_it_rolls_back_where_the_judge_would_have_and_csv_and_json_lines_agree() -> None:
    rows = recorded(0.02)
    one, other = backtest(as_csv(rows)), backtest("\n".join(json.dumps(row) for row in rows))
    assert one.verdict.decision is judge.Decision.ROLL_BACK
    assert (one.decided_at, one.bad, one.verdict) == (other.decided_at, other.bad, other.verdict)
    assert one.decided_at is not None
    assert one.bad == sum(row["new_bad"] for row in rows if row["time"] <= one.decided_at)
    assert one.ratio.low > 1.0
    assert one.at_least > 1.0
    assert [v.line for v in one.verdicts] == list(range(2, 2 + len(one.verdicts)))


def test_the_bound_is_that_of_the_ratio_seen_and_none_where_the_source_never_failed() -> None:
    seen = backtest(as_csv(recorded(0.02, seconds=900)), settings=Settings(alpha=1e-9))
    assert seen.ratio.estimate is not None
    assert seen.bound == pytest.approx(judge.power.b_star(seen.ratio.estimate, 1e-9))
    rows = [
        {"time": t, "new_requests": 20, "new_bad": int(t % 4 == 0), "old_requests": 180, "old_bad": 0} for t in range(9)
    ]
    assert backtest(as_csv(rows)).bound is None


def test_a_healthy_stretch_advances() -> None:
    answer = backtest(as_csv(recorded(0.001)))
    assert answer.verdict.decision is judge.Decision.ADVANCE
    assert answer.decided_at is None
    assert len(answer.verdicts) == 300


def test_compare_says_what_other_rules_do_with_the_same_counts() -> None:
    told = {c.rule: c for c in backtest(as_csv(recorded(0.02, seconds=900)), compare=True).compared}
    assert told["Flagger, interval 1m, threshold 5"].at == 359.0
    assert told["Flagger, interval 1m, threshold 1"].at == 119.0
    assert told["Argo Rollouts, interval 1m, failureLimit 3"].at == 239.0
    assert told["Argo Rollouts, interval 1m, failureLimit 0"].at == 59.0
    kayenta = told["Kayenta, growing window, each minute"]
    assert kayenta.at is not None
    ours = backtest(as_csv(recorded(0.02, seconds=900)))
    assert all(ours.bad < c.bad for c in told.values())


def test_half_a_percent_is_never_seen_by_a_99_percent_threshold() -> None:
    told = {c.rule: c.at for c in backtest(as_csv(recorded(0.005, percent=30, seconds=900)), compare=True).compared}
    assert told["Flagger, interval 1m, threshold 5"] is None
    assert told["Argo Rollouts, interval 1m, failureLimit 3"] is None
    assert backtest(as_csv(recorded(0.005, percent=30, seconds=900))).decided_at is not None


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("time,new_requests,new_bad,old_requests\n1,2,0,3\n", 1, "old_bad", "missing"),
        (f"{HEAD}\n1,2,-1,3,0\n", 2, "new_bad", "negative"),
        (f"{HEAD}\n1,2,3,3,0\n", 2, "new_bad", "3 bad of 2 requests"),
        (f"{HEAD}\n2,2,0,3,0\n1,2,0,3,0\n", 3, "time", "does not come after"),
        (f"{HEAD}\n1,two,0,3,0\n", 2, "new_requests", "'two' is not a whole number"),
        (f"{HEAD}\n1,2.5,0,3,0\n", 2, "new_requests", "not a whole number"),
        (f"{HEAD}\nyesterday,2,0,3,0\n", 2, "time", "neither seconds nor RFC 3339"),
        (f"{HEAD}\n1,2,0,3\n", 2, "", "4 cells, the head has 5"),
        (f"{HEAD},weight\n1,2,0,3,0,120\n", 2, "weight", "above 100"),
        (f"{HEAD},new_slower_100\n1,2,0,3,0,1\n", 2, "old_slower_100", "missing"),
        ('{"time": 1, "new_requests": 2}\n', 1, "new_bad", "missing"),
        ('{"time": 1\n', 1, "", "not JSON"),
        ("", 1, "time", "missing"),
        (f"{HEAD}\n", None, "", "no row"),
    ],
)
def test_a_mistake_names_line_and_column(text: str, line: int | None, column: str, words: str) -> None:
    with pytest.raises(DocumentError) as caught:
        backtest(text, file="counts.csv")
    mistakes = [m for m in caught.value.mistakes if m.path == column and words in m.message]
    assert mistakes
    assert mistakes[0].line == line


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(DocumentError) as caught:
        backtest(f"{HEAD}\n1,x,0,3,0\n2,2,-5,3,0\n3,1,0,1,7\n")
    assert [(m.line, m.path) for m in caught.value.mistakes] == [(2, "new_requests"), (3, "new_bad"), (4, "old_bad")]


def test_a_gap_of_centuries_and_a_long_file_are_judged_in_time() -> None:
    rows = [f"{HEAD}", "0,10,0,190,0", "1e300,10,0,190,0", *(f"{1e300 * (2 + i)},10,0,190,0" for i in range(3))]
    assert backtest("\n".join(rows), compare=True).decided_at is None
    day = [f"{60 * i},600,{i % 2},11400,{19 * (i % 2)}" for i in range(1440)]
    assert len(backtest("\n".join([HEAD, *day]), compare=True).verdicts) == 1440


def test_rfc_3339_weights_and_latency_columns_are_read() -> None:
    head = f"{HEAD},weight,new_slower_100,old_slower_100"
    rows = [f"2026-11-21T10:{i // 60:02}:{i % 60:02}Z,{n},0,{200 - n},0,{w},{n // 2},20"
            for i, (w, n) in enumerate([(0, 0)] * 30 + [(10, 20)] * 200)]  # fmt: skip
    answer = backtest("\n".join([head, *rows]))
    assert answer.verdict.decision is judge.Decision.ROLL_BACK
    assert {v.weight for v in answer.verdicts} == {0, 10}


cell = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]))
objects = st.dictionaries(st.sampled_from([*COLUMNS, "weight", "new_slower_5", "old_slower_x"]), cell)


@given(st.text() | st.lists(objects, max_size=5).map(lambda rows: "\n".join(map(json.dumps, rows))))
def test_whatever_the_text_it_is_judged_or_its_mistakes_are_told(text: str) -> None:
    with suppress(DocumentError):
        assert backtest(text, compare=True).verdicts


def test_what_is_asked_for_beside_the_test_holds_a_step_or_takes_it_home() -> None:
    both_bad = as_csv(
        [row | {"new_bad": row["new_requests"] // 20, "old_bad": row["old_requests"] // 20} for row in recorded(0.0)]
    )
    held = backtest(both_bad, settings=Settings(slo=0.01)).verdict
    assert (held.decision, held.reason) == (Decision.HOLD, Reason.SLO)
    home = backtest(both_bad, settings=Settings(slo=0.01, slo_rolls_back=True)).verdict
    assert home.decision is Decision.ROLL_BACK
    assert "outside the promise" in home.detail
    healthy = as_csv(recorded(0.001))
    assert backtest(healthy).verdict.decision is Decision.ADVANCE
    for asked, reason in ((Settings(must_see=1.2), Reason.TOO_LITTLE), (Settings(pass_below=1.2), Reason.NOT_PASSED)):
        held = backtest(healthy, settings=asked).verdict
        assert (held.decision, held.reason) == (Decision.HOLD, reason)
