"""A wave begins in its window: what waits says until when, what has begun goes on, a rehearsal waits for nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from landbridge.model.journal import Phase
from landbridge.model.plan import Plan
from landbridge.model.service import ServiceId
from landbridge.run.acts import DRY_RUN
from landbridge.run.decide import Do, End, Wait
from landbridge.run.journal import Journal
from landbridge.run.runner import rehearse
from landbridge.run.status import explain, read_status
from landbridge.run.turns import Turns
from tests.fakes import FakeClock
from tests.run.world import plan as plain

WINDOW = "Mon-Thu 09:00-16:00"
SATURDAY = datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp()
MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp()
SERVICE = ServiceId("shop", "s0")


def plan(window: str = WINDOW) -> Plan:
    made = plain()
    return replace(made, waves=tuple(replace(w, window=window if w.name == "move" else "") for w in made.waves))


class Run:
    """Turns over a journal and a clock that moves when told; acts only tell."""

    def __init__(self, folder: Path, what: Plan, at: float) -> None:
        self.clock, self.plan = FakeClock(at), what
        self.journal = Journal(folder / "journal.db")
        self.turns = Turns(journal=self.journal, read_plan=lambda: self.plan, executors=DRY_RUN, clock=self.clock)
        self.turns.book()

    async def go(self, acts: int = 100) -> object:
        """Up to so many acts; what comes then."""
        for _ in range(acts):
            deed = self.turns.next(SERVICE)
            if not isinstance(deed, Do):
                return deed
            n, _state = self.turns.heads[SERVICE]
            decision = await self.turns.decide(str(SERVICE), n, {})
            await self.turns.record(str(SERVICE), n, decision, await self.turns.perform(str(SERVICE), n, decision))
        return self.turns.next(SERVICE)


async def test_a_wave_outside_its_window_waits_and_says_until_when(tmp_path: Path) -> None:
    run = Run(tmp_path, plan(), SATURDAY)
    waits = await run.go()
    said = "wave move begins Mon-Thu 09:00-16:00: open from Mon 2026-11-23 09:00 UTC"
    assert waits == Wait(reason=said, until=MONDAY)
    assert run.turns.states()[SERVICE].done == ("shop/s0/copy", "shop/s0/split")
    assert explain(run.journal, run.plan, SERVICE, SATURDAY)["row"].reason == said
    assert read_status(run.journal, run.plan, SATURDAY).wave == "move"


async def test_it_begins_when_the_window_opens(tmp_path: Path) -> None:
    run = Run(tmp_path, plan(), SATURDAY)
    await run.go()
    run.clock.at = MONDAY
    assert await run.go() == End("done")
    assert run.turns.states()[SERVICE].phase is Phase.DONE


async def test_what_has_begun_goes_on_when_the_window_closes(tmp_path: Path) -> None:
    run = Run(tmp_path, plan(), MONDAY)
    await run.go(4)  # copy, split, pin, the first weight
    assert run.turns.states()[SERVICE].weight == 5
    run.clock.at = MONDAY + 10 * 3600
    assert await run.go() == End("done")


async def test_the_window_of_an_edited_plan_holds_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, plan(), SATURDAY)
    assert isinstance(await run.go(), Wait)
    run.plan = plan("Sat 09:00-16:00")
    assert await run.go() == End("done")


async def test_a_rehearsal_does_not_wait_for_it(tmp_path: Path) -> None:
    what = plan()
    states = await rehearse(tmp_path, lambda: what, clock=FakeClock(SATURDAY))
    assert {state.phase for state in states.values()} == {Phase.DONE}
