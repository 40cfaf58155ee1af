"""How many services are home on the target over time: the projection that tells whether a migration will end (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from landbridge.model.journal import Entry, Outcome
from landbridge.model.plan import ActKind, Plan
from landbridge.model.service import ServiceId

BLOCKS = " ▁▂▃▄▅▆▇█"


def burn_up(entries: Iterable[Entry]) -> list[tuple[float, int]]:
    """(moment in seconds since the epoch, services home on the target), one point for each change, from 0 on.

    A service is home there from the end of its act `finish` until that is taken back.
    """
    finishing: dict[str, bool] = {}
    home: set[ServiceId] = set()
    points: list[tuple[float, int]] = []
    for entry in entries:
        if not points:
            points.append((entry.at, 0))
        before = len(home)
        if entry.outcome is Outcome.STARTED:
            finishing[entry.act] = (entry.detail.get("act") or {}).get("kind") == ActKind.FINISH.value
        elif finishing.get(entry.act) and entry.outcome is Outcome.DONE:
            home.add(entry.service)
        elif finishing.get(entry.act) and entry.outcome is Outcome.UNDONE:
            home.discard(entry.service)
        if len(home) != before:
            points.append((entry.at, len(home)))
    return points


def moving(plan: Plan) -> int:
    """How many services a plan brings home on the target."""
    entries = (entry for wave in plan.waves for entry in wave.services)
    return len({entry.service for entry in entries if any(act.kind is ActKind.FINISH for act in entry.acts)})


def spark(points: Sequence[tuple[float, int]], top: int, until: float, width: int = 40) -> str:
    """The same as one line of blocks, from the first point to `until`; empty while nobody is home."""
    if len(points) < 2 or top <= 0:
        return ""
    begin, place, line = points[0][0], 0, ""
    for column in range(1, width + 1):
        at = begin + (until - begin) * column / width if column < width else until
        while place + 1 < len(points) and points[place + 1][0] <= at:
            place += 1
        line += BLOCKS[min(len(BLOCKS) - 1, points[place][1] * (len(BLOCKS) - 1) // top)]
    return line
