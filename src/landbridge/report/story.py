"""The journal of a run as a story per service: weights, shares, failures, decisions, and who did what. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from landbridge.model.journal import Command, Entry, Outcome, Phase, State
from landbridge.model.look import read_counts
from landbridge.model.plan import Plan
from landbridge.model.service import ServiceId, Side
from landbridge.run.burnup import burn_up, moving

POINTS = 400  # a chart of more points is no clearer and the page much heavier
TOLD = frozenset({Outcome.HELD, Outcome.FAILED, Outcome.DRIFT, Outcome.VERDICT, Outcome.NOTE, Outcome.UNDONE})


@dataclass(slots=True, kw_only=True)
class Point:
    """Several looks of one service put together; counts since the point before."""

    at: float
    weight: int
    n: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    bad: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    slow: dict[Side, dict[float, int]] = field(default_factory=lambda: {side: {} for side in Side})

    @property
    def share(self) -> float | None:
        """The target's share in percent as it was seen."""
        total = sum(self.n.values())
        return 100 * self.n[Side.TARGET] / total if total else None

    def rate(self, side: Side) -> float | None:
        """Failures in percent of one side."""
        return 100 * self.bad[side] / self.n[side] if self.n[side] else None

    def quantile(self, side: Side, q: float = 0.99) -> float | None:
        """The lowest bucket bound in milliseconds that at most 1 - q of the requests were slower than."""
        if not self.n[side] or not self.slow[side]:
            return None
        good = [bound for bound, slower in self.slow[side].items() if slower <= (1 - q) * self.n[side]]
        return min(good, default=max(self.slow[side]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One service."""

    service: ServiceId
    state: State | None
    points: tuple[Point, ...]
    decisions: tuple[Entry, ...]
    deeds: tuple[Entry, ...]

    @property
    def requests(self) -> int:
        """All requests that were counted while the service moved."""
        return sum(sum(point.n.values()) for point in self.points)

    @property
    def failed(self) -> dict[Side, int]:
        """Failed ones by the side that answered."""
        return {side: sum(point.bad[side] for point in self.points) for side in Side}

    @property
    def side(self) -> Side:
        """Where the service's traffic goes now."""
        return Side.TARGET if self.state and self.state.weight >= 50 else Side.SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The whole run."""

    source: str
    target: str
    made: float
    chapters: tuple[Chapter, ...]
    commands: tuple[Command, ...]
    began: float | None
    ended: float | None
    resumed: int
    burn_up: tuple[tuple[float, int], ...] = ()
    """(moment, services home on the target), one for each change."""
    moving: int = 0

    @property
    def requests(self) -> int:
        """Requests counted over all services."""
        return sum(chapter.requests for chapter in self.chapters)

    @property
    def failed(self) -> dict[Side, int]:
        """Failures over all services, by side."""
        return {side: sum(chapter.failed[side] for chapter in self.chapters) for side in Side}

    @property
    def rolled_back(self) -> tuple[ServiceId, ...]:
        """Services that the judge or a person took home at least once."""
        moved = [chapter for chapter in self.chapters if chapter.service.name != "*"]
        return tuple(chapter.service for chapter in moved if _was_rolled_back(chapter))


def tell(
    plan: Plan,
    states: Mapping[ServiceId, State],
    entries: Sequence[Entry],
    looks: Iterable[Mapping[str, Any]],
    commands: Sequence[Command],
    *,
    now: float,
    resumed: int = 0,
) -> Story:
    """Put everything together; services stand in the order in which the plan moves them."""
    seen: dict[str, list[Point]] = {}
    for look in looks:
        seen.setdefault(look["service"], []).append(_point(look))
    own: dict[ServiceId, list[Entry]] = {}
    for entry in entries:
        own.setdefault(entry.service, []).append(entry)
    order = dict.fromkeys(entry.service for wave in reversed(plan.waves) for entry in wave.services)
    services = sorted(order, key=lambda service: (service.name == "*", str(service)))
    return Story(
        source=plan.source,
        target=plan.target,
        made=now,
        chapters=tuple(
            _chapter(service, states, own.get(service, []), seen.get(str(service), [])) for service in services
        ),
        commands=tuple(commands),
        began=min((entry.at for entry in entries), default=None),
        ended=max((entry.at for entry in entries), default=None),
        resumed=resumed,
        burn_up=tuple(burn_up(entries)),
        moving=moving(plan),
    )


def _chapter(
    service: ServiceId, states: Mapping[ServiceId, State], own: Sequence[Entry], points: list[Point]
) -> Chapter:
    return Chapter(
        service=service,
        state=states.get(service),
        points=tuple(thin(points)),
        decisions=tuple(entry for entry in own if _is_decision(entry)),
        deeds=tuple(entry for entry in own if entry.outcome in {Outcome.STARTED, Outcome.DONE, Outcome.UNDONE}),
    )


def _is_decision(entry: Entry) -> bool:
    """What was decided and why: all but receipts, and acts that went as planned without a number to tell."""
    if entry.outcome is Outcome.DONE:
        return bool(entry.detail.get("reason"))
    return entry.outcome in TOLD and entry.detail.keys() != {"receipts"}


def _was_rolled_back(chapter: Chapter) -> bool:
    at_rest = chapter.state is not None and chapter.state.phase is Phase.ROLLED_BACK
    return at_rest or any(entry.outcome is Outcome.UNDONE for entry in chapter.decisions)


def _point(look: Mapping[str, Any]) -> Point:
    point = Point(at=look["at"], weight=look["weight"])
    for sides in read_counts(look["counts"] or {}).values():
        for side, count in sides.items():
            point.n[side] += count.n
            point.bad[side] += count.bad
            for bound, slower in count.buckets.items():
                point.slow[side][float(bound)] = point.slow[side].get(float(bound), 0) + slower
    return point


def thin(points: Sequence[Point], limit: int = POINTS) -> list[Point]:
    """Neighbouring looks of one weight added together until at most about `limit` are left; counts are kept."""
    size = -(-len(points) // limit) if points else 1
    result: list[Point] = []
    taken = 0
    for point in points:
        if not result or result[-1].weight != point.weight or taken >= size:
            result.append(Point(at=point.at, weight=point.weight))
            taken = 0
        _add(result[-1], point)
        taken += 1
    return result


def _add(into: Point, point: Point) -> None:
    into.at = point.at
    for side in Side:
        into.n[side] += point.n[side]
        into.bad[side] += point.bad[side]
        for bound, slower in point.slow[side].items():
            into.slow[side][bound] = into.slow[side].get(bound, 0) + slower
