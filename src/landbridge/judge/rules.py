"""What other tools would have done with the same counts: Flagger, Argo Rollouts and Kayenta, as their code decides.

Recorded counts cannot tell what would have come after another decision: these say when each rule would have rolled
back, and how many bad requests the new side had served by then. Flagger tests its threshold before the analysis, so it
acts one interval after the last failing check; Argo fails a metric when more measurements failed than its limit;
Kayenta compares the points of both sides by Mann-Whitney at 98 % with tolerance 0.25, over all points so far.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product
from math import floor, sqrt
from statistics import fmean

INTERVAL = 60.0
SUCCESS = 0.99
POINT = 10.0
SILENT = 100
"""Empty windows told in a row: after so many no rule decides anything new."""

LIFETIME = 90
"""Points that Kayenta compares at most, 15 minutes: its canaries are no longer, and pairs grow with the square."""

KAYENTA_Z = 2.3263
KAYENTA_TOLERANCE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What both sides did up to time `at`, since the row before; seconds."""

    at: float
    n_new: int
    bad_new: int
    n_old: int
    bad_old: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What a rule would have done: the time of its roll-back (None: never) and the new side's bad requests by then."""

    rule: str
    at: float | None
    bad: int


def compare(rows: Sequence[Counted]) -> tuple[Compared, ...]:
    """Every rule over the same counts."""
    times = {
        "Flagger, interval 1m, threshold 5": flagger(rows, 5),
        "Flagger, interval 1m, threshold 1": flagger(rows, 1),
        "Argo Rollouts, interval 1m, failureLimit 3": argo(rows, 3),
        "Argo Rollouts, interval 1m, failureLimit 0": argo(rows, 0),
        "Kayenta, growing window, each minute": kayenta(rows),
    }
    return tuple(Compared(rule=rule, at=at, bad=bad_by(rows, at)) for rule, at in times.items())


def bad_by(rows: Sequence[Counted], at: float | None) -> int:
    """The new side's bad requests up to a time."""
    return sum(row.bad_new for row in rows if at is None or row.at <= at)


def windows(rows: Sequence[Counted], length: float) -> Iterator[tuple[float, Counted]]:
    """Sums over windows of this many seconds since the first row's begin, with the time each ends; empty ones too."""
    if not rows:
        return
    begin = rows[0].at - (rows[1].at - rows[0].at if len(rows) > 1 else length)
    place = 0
    for number, group in groupby(rows, key=lambda row: max(0, -int(-(row.at - begin) // length) - 1)):
        for empty in range(place, min(number, place + SILENT)):
            end = begin + (empty + 1) * length
            yield end, Counted(at=end, n_new=0, bad_new=0, n_old=0, bad_old=0)
        end, part = begin + (number + 1) * length, list(group)
        yield end, total(part, end)
        place = number + 1


def total(rows: Sequence[Counted], at: float) -> Counted:
    """The sum of rows."""
    return Counted(
        at=at,
        n_new=sum(r.n_new for r in rows),
        bad_new=sum(r.bad_new for r in rows),
        n_old=sum(r.n_old for r in rows),
        bad_old=sum(r.bad_old for r in rows),
    )


def fails(window: Counted) -> bool:
    """A success rate below 99 %."""
    return window.bad_new > (1.0 - SUCCESS) * window.n_new


def flagger(rows: Sequence[Counted], threshold: int) -> float | None:
    """When Flagger would have rolled back; no data counts as a failed check, once there was any."""
    failed, seen = 0, False
    for end, window in windows(rows, INTERVAL):
        if failed >= threshold:
            return end
        seen = seen or window.n_new > 0
        failed += seen and (fails(window) or not window.n_new)
    return None


def argo(rows: Sequence[Counted], limit: int) -> float | None:
    """When Argo Rollouts would have rolled back; empty results are errors, which are not failures."""
    failed = 0
    for end, window in windows(rows, INTERVAL):
        failed += window.n_new > 0 and fails(window)
        if failed > limit:
            return end
    return None


def kayenta(rows: Sequence[Counted]) -> float | None:
    """When Kayenta would have failed the canary, judging each minute."""
    new: list[float] = []
    old: list[float] = []
    per_judgement = round(INTERVAL / POINT)
    for number, (end, window) in enumerate(windows(rows, POINT), 1):
        new += [window.bad_new / window.n_new] if window.n_new else []
        old += [window.bad_old / window.n_old] if window.n_old else []
        if number % per_judgement == 0 and is_high(new[-LIFETIME:], old[-LIFETIME:]):
            return end
    return None


def is_high(new: Sequence[float], old: Sequence[float]) -> bool:
    """Whether the new side's points lie higher, in the sense of Kayenta's judge."""
    m, n = len(new), len(old)
    if m < 2 or n < 2 or fmean(new) <= fmean(old):
        return False
    whole = m + n
    both, shifts = Counter([*new, *old]), Counter[float]()
    for (a, times_a), (b, times_b) in product(Counter(new).items(), Counter(old).items()):
        shifts[a - b] += times_a * times_b
    ties = sum(k**3 - k for k in both.values())
    spread = sqrt(m * n / 12 * (whole + 1 - ties / (whole * (whole - 1))))
    rank = floor(m * n / 2 - KAYENTA_Z * spread - 0.5)
    if spread <= 0.0 or rank < 0:
        return False
    middle = (nth(shifts, (m * n - 1) // 2) + nth(shifts, m * n // 2)) / 2
    return nth(shifts, rank) > KAYENTA_TOLERANCE * abs(middle)


def nth(values: Counter[float], rank: int) -> float:
    """The value at this place (from 0) in the sorted multiset."""
    for value in sorted(values):
        rank -= values[value]
        if rank < 0:
            return value
    raise IndexError(rank)
