"""Law 5: two splits of one service, one in each cluster, never point at each other.

Weights are the target's percent in both. The source's split sends traffic across when its weight is above 0, the
target's when its weight is below 100. With apex backends both at once are a loop (508 for a third of the requests,
endless for TCP). With leaf backends the other side never asks its own split, so any weights are safe; the order is
kept all the same.

Every write is conditional on the version last read, **and changes the object even if the weight is right already** (the
run's fencing token is in an annotation): only then is a write that a dead runner left behind refused. Without it a
rollback that skips "source is at 0 already" lets a late "source to 50" through after the target points back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from landbridge.laws.law import Law, Refusal
from landbridge.laws.weights import check_sum
from landbridge.model.service import Side


@dataclass(frozen=True, slots=True, order=True)
class Splits:
    """The target's percent in the source cluster's split and in the target cluster's."""

    source: int
    target: int

    def __getitem__(self, side: Side) -> int:
        return self.source if side is Side.SOURCE else self.target

    def write(self, write: Write) -> Splits:
        """The splits after a write."""
        return replace(self, source=write.percent) if write.side is Side.SOURCE else replace(self, target=write.percent)


@dataclass(frozen=True, slots=True, order=True)
class Write:
    """Set one cluster's split, on condition of its version, and touch it even if it has the weight already."""

    side: Side
    percent: int


def is_loop(splits: Splits) -> bool:
    """Each side sends some traffic to the other."""
    return splits.source > 0 and splits.target < 100


def check(splits: Splits, *, leaf: bool = False) -> Refusal | None:
    """The splits are percents, no side points at nothing, and they are no loop (which leaf backends cannot be)."""
    for side, percent in ((Side.SOURCE, splits.source), (Side.TARGET, splits.target)):
        if not 0 <= percent <= 100:
            return Refusal(Law.SERVED, f"{percent} is no percent")
        nothing = check_sum({f"{side} local": 100 - percent, f"{side} remote": percent})
        if nothing:
            return nothing
    if is_loop(splits) and not leaf:
        return Refusal(
            Law.NO_LOOP,
            f"both sides would point at each other: {splits.source} % from source to target, "
            f"{100 - splits.target} % from target to source",
        )
    return None


def may_write(now: Splits, write: Write, *, leaf: bool = False) -> Refusal | None:
    """Whether one write keeps law 5, from the splits as read live."""
    return check(now.write(write), leaf=leaf)


def standing(goal: int, *, leaf: bool = False) -> Splits:
    """What both splits declare while a service is at `goal`, which is also where the callers of each cluster go.

    With apex backends callers in the target's cluster are part of no percentage: all of them go to the new copy as
    soon as the source sends anything there.
    """
    return Splits(goal, goal if leaf or goal == 0 else 100)


def is_chained(chains: Iterable[bool], *, leaf: bool) -> bool:
    """Whether the order of law 5 is a must: backends are apexes, and some gateway obeys its cluster's split.

    One is enough: it sends what comes in back to where it came from, and that gateway takes it for a loop.
    """
    return not leaf and any(chains)


def writes(goal: int, *, leaf: bool = False, raising: bool = True) -> tuple[Write, ...]:
    """The writes that bring a service to `goal` percent, in order; each is confirmed before the next is sent.

    With apex backends: to anything above 0 the target keeps its callers first, then the source sends its own across;
    to 0 the source keeps its callers first, then the target sends back. With leaf backends both carry the same
    percent, the side that gains load last: `raising` says which way it goes.
    """
    if not leaf:
        if goal > 0:
            return (Write(Side.TARGET, 100), Write(Side.SOURCE, goal))
        return (Write(Side.SOURCE, 0), Write(Side.TARGET, 0))
    both = (Write(Side.TARGET, goal), Write(Side.SOURCE, goal))
    return both if raising else both[::-1]
