"""What becomes of traffic when its runner has ended: told from the journal, for whoever ends it and whoever looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from landbridge.clock import rfc3339
from landbridge.model.journal import Phase
from landbridge.model.plan import ActKind, Plan
from landbridge.model.service import ServiceId
from landbridge.run.agenda import acts_of
from landbridge.run.journal import Journal
from landbridge.run.status import Row

GONE = "left"
"""The fact that holds when the last runner gave its lease back; empty while one is there or has died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The splits that follow a lease that nobody renews."""

    shares: tuple[tuple[ServiceId, int], ...]
    """The services whose home is still the source, with the target's percent by their splits."""
    on_expiry: str
    seconds: float
    at: float | None
    """When the lease runs out, seconds since the epoch; None where the runner died and nobody wrote down when."""

    def told(self, now: float) -> str:
        """A sentence for people."""
        names = ", ".join(f"{service} ({percent} %)" for service, percent in self.shares)
        if self.on_expiry != "home":
            return f"no runner is there: these splits stay as they are, and nobody watches them: {names}; {GO_ON}"
        if self.at is None:
            return (
                f"no runner is there: its lease has run out, or does within {self.seconds:g} s, and these splits go "
                f"home: {names}; {GO_ON}"
            )
        past = self.at <= now
        runs = "ran" if past else "runs"
        return (
            f"no runner is there: its lease {runs} out at {rfc3339(self.at)[11:19]} UTC, and these splits "
            f"{'went' if past else 'go'} home: {names}; {GO_ON}"
        )


GO_ON = "`landbridge run` goes on"


def find(journal: Journal, plan: Plan, rows: Sequence[Row]) -> Expiry | None:
    """What an expiry concerns, if no runner is there; None where it concerns nothing."""
    shares = tuple((row.service, row.weight) for row in rows if row.weight > 0 and not _is_finished(journal, plan, row))
    if not shares:
        return None
    left = journal.fact(GONE)
    bounds = plan.bounds
    return Expiry(
        shares=shares,
        on_expiry=bounds.on_expiry,
        seconds=bounds.lease_seconds,
        at=None if left is None else float(left) + bounds.lease_seconds,
    )


def _is_finished(journal: Journal, plan: Plan, row: Row) -> bool:
    """Whether the target is home: the split follows no lease any more."""
    head = journal.state(row.service)
    if head is None or row.phase in {Phase.DONE, Phase.ROLLED_BACK}:
        return True
    done = set(head[1].done)
    return any(act.id in done for act in acts_of(plan, row.service) if act.kind is ActKind.FINISH)
