"""Laws 6 and 10: every act has its lines in the journal, and no secret has any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from landbridge.laws.law import Law, Refusal
from landbridge.model.journal import Entry, Outcome
from landbridge.model.service import ServiceId

SHORTEST = 6
"""Values shorter than this are in any text by chance."""

ENDS = {Outcome.DONE, Outcome.UNDONE, Outcome.HELD, Outcome.FAILED, Outcome.DRIFT}


def check_journal(entries: Sequence[Entry]) -> Refusal | None:
    """Law 6: no act ends without having been started; an act may start again (a resume) and end again."""
    started: set[tuple[ServiceId, str]] = set()
    for entry in entries:
        key = (entry.service, entry.act)
        if entry.outcome is Outcome.STARTED:
            started.add(key)
        elif entry.outcome in ENDS and key not in started:
            return Refusal(Law.JOURNAL, f"{entry.service} {entry.act} is {entry.outcome} and was never started")
    return None


def may_do(entries: Sequence[Entry], service: ServiceId, act: str) -> Refusal | None:
    """Law 6: the line before the act is written before the act."""
    mine = [e.outcome for e in entries if e.service == service and e.act == act]
    started = max((i for i, outcome in enumerate(mine) if outcome is Outcome.STARTED), default=-1)
    ended = max((i for i, outcome in enumerate(mine) if outcome in ENDS), default=-1)
    if started > ended:
        return None
    return Refusal(Law.JOURNAL, f"{service} {act}: its start is not in the journal")


def check_secrets(text: str, secrets: Iterable[str]) -> Refusal | None:
    """Law 10: none of these values is in a text that will be written; the refusal does not repeat the value."""
    for number, value in enumerate(secrets, 1):
        if len(value) >= SHORTEST and value in text:
            return Refusal(Law.SECRET, f"the value of secret {number} would be written in clear")
    return None
