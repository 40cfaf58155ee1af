"""Rounds of the carrier: what they keep is what they would work out anew; who waits is not asked again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.model.journal import Phase, State, What
from landbridge.model.plan import ActKind, Plan
from landbridge.model.service import ServiceId
from landbridge.run.carrier import Rounds, Standing
from landbridge.run.decide import Decision
from landbridge.run.journal import Journal
from landbridge.run.turns import Turns
from tests.fakes import FakeClock
from tests.run.world import plan

SERVICES = 4
NAMES = [ServiceId("shop", f"s{number}") for number in range(SERVICES)]


class Idle:
    """An engine that takes up everything and finishes nothing."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.active: dict[str, int] = {}

    async def start(self, service: ServiceId, n: int, state: dict[str, Any]) -> None:
        """Nothing is performed here."""


class Counting(Turns):
    """Turns that count how often a decision was asked for."""

    asked = 0

    def next(self, service: ServiceId) -> Decision:
        """Count, and decide."""
        self.asked += 1
        return super().next(service)


def turns_of(journal: Journal, what: Plan, clock: FakeClock) -> Counting:
    return Counting(journal=journal, read_plan=lambda: what, executors={}, clock=clock)


def acts(what: Plan, service: ServiceId) -> list[str]:
    return [act.id for wave in what.waves for entry in wave.services if entry.service == service for act in entry.acts]


changes = st.tuples(
    st.sampled_from(NAMES),
    st.integers(0, 8),
    st.sampled_from([phase for phase in Phase if phase is not Phase.ROLLING_BACK]),
    st.sampled_from([0, 5, 100]),
    st.sampled_from([None, What.PAUSE, What.RESUME]),
    st.integers(0, 3),
)


@settings(max_examples=25)  # each writes a journal to the disk
@given(st.lists(changes, min_size=1, max_size=8))
def test_what_is_kept_is_what_would_be_found(
    lines: list[tuple[ServiceId, int, Phase, int, What | None, int]],
) -> None:
    asyncio.run(_compare(lines))


async def _compare(lines: list[tuple[ServiceId, int, Phase, int, What | None, int]]) -> None:
    what, clock = plan(SERVICES), FakeClock()
    with TemporaryDirectory() as folder, Journal(Path(folder) / "journal.db") as journal:
        turns = turns_of(journal, what, clock)
        engine: Any = Idle(concurrency=100)
        rounds = Rounds(engine, turns)
        await rounds.go()
        for service, done, phase, weight, command, seconds in lines:
            n, state = turns.heads[service]
            new = replace(state, phase=phase, done=tuple(acts(what, service)[:done]), weight=weight)
            turns.advance(n + 1, new)
            if command is not None:
                journal.command(command, service, "test", clock.now())
            await clock.sleep(float(seconds))
            await rounds.go()  # obeys commands one service after another: the first does not know of the last yet
            kept: dict[ServiceId, Standing] = await rounds.go()
            assert kept == await Rounds(engine, turns).go()


async def test_who_waits_for_a_wave_or_a_person_is_not_asked_again(tmp_path: Path) -> None:
    what, clock = plan(300), FakeClock()
    with Journal(tmp_path / "journal.db") as journal:
        turns = turns_of(journal, what, clock)
        joined = [act.id for act in what.waves[0].services[0].acts]
        for service in list(turns.book().steps)[:-1]:  # all but one have joined
            done = tuple(name.replace("shop/s0/", f"{service}/") for name in joined)
            turns.advance(1, State(service=service, phase=Phase.WAITING, done=done))
        engine: Any = Idle(concurrency=64)
        rounds = Rounds(engine, turns)
        standings = await rounds.go()
        assert sum("wave join is not finished" in s.next for s in standings.values()) == 299
        before = turns.asked
        assert await rounds.go() == standings
        assert turns.asked - before == 1  # the one that could start
        last = list(turns.book().steps)[-1]
        done = tuple(name.replace("shop/s0/", f"{last}/") for name in joined)
        turns.advance(1, State(service=last, phase=Phase.WAITING, done=done))
        after = await rounds.go()
        assert {s.next.rsplit("/", 1)[-1] for s in after.values()} == {ActKind.PIN.value}
