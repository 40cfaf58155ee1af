"""Law 5 by visiting every state: any number of runners one after another, each with any goal, each dying anywhere.

Besides the order of writes it holds what they depend on: the copy on the target is there before anything points to it
and goes after nothing does. A runner may read what is long past; its writes are conditional, are repeated when no
answer came, and land at once, much later (when other runners have written) or never. A write whose version is over is
refused for ever, so only those of the present version have to be kept: that makes the states finitely many.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

import pytest

from landbridge.laws import twosided
from landbridge.laws.twosided import Splits, Write

GOALS = (0, 5, 50, 100)
GRID = (0, 5, 50, 100)


class Deed(Enum):
    """What a runner does beside writing."""

    BRING = "bring the copy"
    TAKE = "take it away"


Step = Write | Deed


@dataclass(frozen=True)
class Rules:
    """How runners behave; each of the others is a mistake that must be found."""

    touch: bool = True
    conditional: bool = True
    skip: bool = False
    order: str = "law"

    def steps(self, goal: int) -> tuple[Step, ...]:
        writes = twosided.writes(goal)
        if self.order in {"raise reversed", "home reversed"} and (goal > 0) == (self.order == "raise reversed"):
            writes = writes[::-1]
        if goal:
            return (*writes, Deed.BRING) if self.order == "copy last" else (Deed.BRING, *writes)
        return (writes[0], Deed.TAKE, *writes[1:]) if self.order == "taken early" else (*writes, Deed.TAKE)


@dataclass(frozen=True)
class World:
    """Both splits, whether the copy serves, the present runner's goal and place, its write on the way, late writes."""

    splits: Splits
    copy: bool
    goal: int
    step: int = 0
    waiting: Write | None = None
    late: frozenset[Write] = frozenset()

    def landed(self, write: Write, rules: Rules) -> World:
        """The world after a write reached its API server; other writes of the version that it ended are refused."""
        if not rules.touch and self.splits[write.side] == write.percent:
            return self
        after = replace(self, splits=self.splits.write(write))
        if not rules.conditional:
            return after
        waiting = None if self.waiting and self.waiting.side is write.side else self.waiting
        return replace(after, waiting=waiting, late=frozenset(w for w in self.late if w.side is not write.side))


def wrong(world: World) -> str:
    splits = world.splits
    if twosided.is_loop(splits):
        return f"loop at {splits.source}/{splits.target}"
    if (splits.source or splits.target) and not world.copy:
        return f"points at nothing at {splits.source}/{splits.target}"
    return ""


def moves(world: World, rules: Rules) -> Iterator[World]:
    """Every next state."""
    for write in world.late:
        yield replace(world, late=world.late - {write}).landed(write, rules)
    left = world.late | ({world.waiting} if world.waiting else frozenset())
    for goal in GOALS:  # it dies, or a person wants something else; what it has sent may still land
        yield World(world.splits, world.copy, goal, 0, None, left)
    if world.waiting is not None:
        accepted = replace(world, waiting=None, step=world.step + 1)
        yield accepted.landed(world.waiting, rules)
        yield replace(world, waiting=None, late=left)  # no answer came: it is sent again
        return
    steps = rules.steps(world.goal)
    if world.step >= len(steps):
        return
    match steps[world.step]:
        case Deed.BRING:
            yield replace(world, copy=True, step=world.step + 1)
        case Deed.TAKE:
            yield replace(world, copy=False, step=world.step + 1)
        case Write() as write:
            yield replace(world, waiting=write)
            if rules.skip:  # on the word of a read that may be long past
                yield replace(world, step=world.step + 1)


def visit(starts: Iterable[World], rules: Rules) -> tuple[int, set[str]]:
    """How many states are reachable, and what is wrong in any of them."""
    queue = deque(starts)
    seen, found = set(queue), set()
    while queue:
        world = queue.popleft()
        if said := wrong(world):
            found.add(said)
            continue
        for after in moves(world, rules):
            if after not in seen:
                seen.add(after)
                queue.append(after)
    return len(seen), found


def starts() -> list[World]:
    """Every state that a migration may be found in: nothing begun, or the copy there and any splits without a loop."""
    begun = [Splits(source, target) for source in GRID for target in GRID]
    fine = [World(splits, True, goal) for splits in begun for goal in GOALS if not twosided.is_loop(splits)]
    return [World(Splits(0, 0), False, goal) for goal in GOALS] + fine


def test_no_runner_that_dies_anywhere_makes_a_loop_or_points_at_nothing() -> None:
    states, found = visit(starts(), Rules())
    assert found == set()
    assert states > 1000


MISTAKES = {
    "a write that changes nothing is left out": (Rules(touch=False), {"loop", "points at nothing"}),
    "a weight that is right already is skipped": (Rules(skip=True), {"loop", "points at nothing"}),
    "writes are not conditional": (Rules(conditional=False), {"loop", "points at nothing"}),
    "the source is raised first": (Rules(order="raise reversed"), {"loop"}),
    "the target is sent home first": (Rules(order="home reversed"), {"loop"}),
    "the copy comes last": (Rules(order="copy last"), {"points at nothing"}),
    "the copy is taken before the target points home": (Rules(order="taken early"), {"points at nothing"}),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_every_mistake_is_found(mistake: str) -> None:
    rules, expected = MISTAKES[mistake]
    _, found = visit(starts(), rules)
    assert {said.partition(" at ")[0].replace("points", "points at nothing") for said in found} >= expected


def test_a_rollback_ends_at_home_from_every_state() -> None:
    """When nothing fails any more: the source has everything, whatever was on the way."""
    for start in starts():
        world = replace(start, goal=0)
        for step in Rules().steps(0):
            world = replace(world, copy=False) if step is Deed.TAKE else world.landed(step, Rules())  # type: ignore[arg-type]
            assert wrong(world) == ""
        assert (world.splits, world.copy) == (Splits(0, 0), False)
