"""How many services are home on the target over time: the projection that tells whether a migration will end (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from landbridge.model.journal import Entry, Outcome
from landbridge.model.plan import ActKind
from landbridge.model.service import ServiceId


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
            finishing[entry.act] = entry.detail["act"]["kind"] == ActKind.FINISH.value
        elif finishing.get(entry.act) and entry.outcome is Outcome.DONE:
            home.add(entry.service)
        elif finishing.get(entry.act) and entry.outcome is Outcome.UNDONE:
            home.discard(entry.service)
        if len(home) != before:
            points.append((entry.at, len(home)))
    return points
