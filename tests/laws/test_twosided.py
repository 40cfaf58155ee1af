"""Law 5 by trying everything: two runners, crashes, reads of the past, writes that land late, retries.

Each switch is a value with a version. A runner reads any pair the switch ever had, sends a conditional write, which
lands at once, later, or never; it crashes anywhere, and its last write may still land. The next runner has another
goal. Every reachable state is visited.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws import twosided
from landbridge.laws.law import Law
from landbridge.laws.twosided import Splits, Write
from landbridge.model.service import Side

SIDES = (Side.SOURCE, Side.TARGET)


@dataclass(frozen=True)
class Pending:
    """A conditional write on its way."""

    side: Side
    percent: int
    version: int


@dataclass(frozen=True)
class World:
    """Both switches with all pairs they ever had, the goals still to run, the present runner's place, late writes."""

    past: tuple[tuple[int, ...], tuple[int, ...]]
    goals: tuple[int, ...]
    step: int = 0
    waiting: Pending | None = None
    late: frozenset[Pending] = frozenset()

    def splits(self) -> Splits:
        return Splits(self.past[0][-1], self.past[1][-1])

    def landed(self, write: Pending, *, touch: bool) -> tuple[World, bool]:
        """The world after a write reached the API server, and whether it was accepted."""
        i = SIDES.index(write.side)
        seen = self.past[i]
        if write.version != len(seen) - 1:
            return self, False
        if not touch and seen[-1] == write.percent:
            return self, True
        past = list(self.past)
        past[i] = (*seen, write.percent)
        return replace(self, past=(past[0], past[1])), True


def moves(world: World, *, touch: bool, skip: bool, most: int) -> Iterator[World]:
    """Every next state."""
    for write in world.late:
        after, _ = world.landed(write, touch=touch)
        yield replace(after, late=world.late - {write})
    if not world.goals:
        return
    if world.waiting is not None:
        after, accepted = world.landed(world.waiting, touch=touch)
        yield replace(after, step=world.step + accepted, waiting=None)  # refused: read again, retry
        left = world.late | {world.waiting}
        yield World(world.past, world.goals[1:], 0, None, left)  # crash, the write still under way
        if len(left) <= most:
            yield replace(world, waiting=None, late=left)  # timed out, tries again
        return
    yield World(world.past, world.goals[1:], 0, None, world.late)  # crash, or a person changes the goal
    todo = twosided.writes(world.goals[0])[world.step :]
    if not todo:
        return
    i = SIDES.index(todo[0].side)
    for version, percent in enumerate(world.past[i]):  # any read, however old
        if skip and percent == todo[0].percent:
            yield replace(world, step=world.step + 1)
            continue
        yield replace(world, waiting=Pending(todo[0].side, todo[0].percent, version))


def explore(
    start: Splits, goals: tuple[int, ...], *, touch: bool = True, skip: bool = False
) -> tuple[int, list[Splits]]:
    """How many states are reachable, and the loops among them."""
    first = World(((start.source,), (start.target,)), goals)
    seen, queue, loops = {first}, deque([first]), []
    while queue:
        world = queue.popleft()
        if twosided.is_loop(world.splits()):
            loops.append(world.splits())
            continue
        for after in moves(world, touch=touch, skip=skip, most=1):
            if after not in seen and max(map(len, after.past)) <= 6:
                seen.add(after)
                queue.append(after)
    return len(seen), loops


@pytest.mark.parametrize(
    ("start", "goals"),
    [
        (Splits(0, 0), (50, 0)),
        (Splits(0, 0), (50, 0, 100)),
        (Splits(50, 100), (0, 50)),
        (Splits(100, 100), (0, 50, 0)),
        (Splits(0, 100), (0, 1, 0)),
    ],
)
def test_no_order_of_crashes_late_writes_and_old_reads_makes_a_loop(start: Splits, goals: tuple[int, ...]) -> None:
    states, loops = explore(start, goals)
    assert states > 100
    assert loops == []


def test_the_search_finds_the_loop_when_a_write_that_changes_nothing_is_skipped() -> None:
    """Why a write touches the object even when the weight is right already."""
    assert explore(Splits(0, 0), (50, 0), touch=False)[1]
    assert explore(Splits(0, 0), (50, 0), skip=True)[1]


percents = st.integers(0, 100)


@given(percents, percents, percents)
def test_writes_in_order_reach_the_goal_without_a_loop(now_source: int, now_target: int, goal: int) -> None:
    now = Splits(now_source, now_target)
    if twosided.is_loop(now):
        return
    for write in twosided.writes(goal):
        assert twosided.may_write(now, write) is None
        now = now.write(write)
    assert now == Splits(goal, 100 if goal else 0)


@given(percents, percents)
def test_with_leaves_any_weights_go_and_both_sides_end_equal(start: int, goal: int) -> None:
    now = Splits(start, start)
    for write in twosided.writes(goal, leaf=True, raising=goal > start):
        assert twosided.may_write(now, write, leaf=True) is None
        now = now.write(write)
    assert now == Splits(goal, goal)


@given(st.integers(1, 100), st.integers(0, 99))
def test_a_write_that_closes_the_loop_is_refused(source: int, target: int) -> None:
    refusal = twosided.check(Splits(source, target))
    assert refusal is not None
    assert refusal.law is Law.NO_LOOP
    assert twosided.may_write(Splits(0, target), Write(Side.SOURCE, source)) == refusal
    assert twosided.may_write(Splits(source, 100), Write(Side.TARGET, target)) == refusal


@given(st.integers().filter(lambda p: not 0 <= p <= 100))
def test_no_percent_outside_0_to_100(percent: int) -> None:
    refusal = twosided.check(Splits(percent, 100), leaf=True)
    assert refusal is not None
    assert refusal.law is Law.SERVED
