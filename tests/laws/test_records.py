"""Laws 6 and 10."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws import records
from landbridge.laws.law import Law
from landbridge.model.journal import Entry, Outcome
from landbridge.model.service import ServiceId

WEB = ServiceId("shop", "web")
ends = st.sampled_from([Outcome.DONE, Outcome.FAILED, Outcome.HELD, Outcome.DRIFT, Outcome.UNDONE])
lines = st.lists(st.tuples(st.sampled_from(["copy", "adopt"]), st.just(Outcome.STARTED) | ends), max_size=12)


def journal(rows: list[tuple[str, Outcome]]) -> list[Entry]:
    return [Entry(service=WEB, act=act, outcome=outcome, at=float(i)) for i, (act, outcome) in enumerate(rows)]


@given(lines)
def test_no_act_ends_that_was_not_started(rows: list[tuple[str, Outcome]]) -> None:
    orphan = any(
        outcome is not Outcome.STARTED and (act, Outcome.STARTED) not in rows[:i]
        for i, (act, outcome) in enumerate(rows)
    )
    assert (records.check_journal(journal(rows)) is not None) is orphan


@given(lines, st.sampled_from(["copy", "adopt"]))
def test_an_act_is_done_only_after_its_line(rows: list[tuple[str, Outcome]], act: str) -> None:
    mine = [outcome for name, outcome in rows if name == act]
    under_way = bool(mine) and mine[-1] is Outcome.STARTED
    assert (records.may_do(journal(rows), WEB, act) is None) is under_way


@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=12), max_size=4))
def test_no_secret_in_clear_and_the_refusal_keeps_it_too(text: str, secrets: list[str]) -> None:
    refusal = records.check_secrets(text, secrets)
    assert (refusal is not None) is any(len(s) >= records.SHORTEST and s in text for s in secrets)


def test_a_secret_in_a_journal_line_is_refused_without_repeating_it() -> None:
    refusal = records.check_secrets('{"password": "hunter2-hunter2"}', ["hunter2-hunter2"])
    assert refusal is not None
    assert refusal.law is Law.SECRET
    assert "hunter2" not in str(refusal)
