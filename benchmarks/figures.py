"""What a benchmark says: figures, the limits of some, and the arithmetic behind both (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number that was measured; with a `limit` it must not exceed, or as context without one.

    `why` says where the limit comes from, or what the figure means.
    """

    benchmark: str
    what: str
    value: float
    unit: str = ""
    limit: float | None = None
    why: str = ""

    @property
    def holds(self) -> bool:
        """Whether the limit is kept; a number that is none (no sample) keeps no limit."""
        return self.limit is None or self.value <= self.limit

    def line(self) -> str:
        """For people: the figure, its limit, and whether that holds."""
        said = f"{self.benchmark:<10} {self.what:<52} {_number(self.value, self.unit):>14}"
        if self.limit is not None:
            said += f"   limit {_number(self.limit, self.unit)}"
        if self.why:
            said += f"   ({self.why})"
        if self.limit is not None:
            said += "   holds" if self.holds else "   DOES NOT HOLD"
        return said

    def document(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"holds": self.holds}


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if float(value).is_integer() and unit in {"", "/s"} else f"{value:,.2f}"
    return f"{text} {unit}" if unit and unit != "/s" else f"{text}{unit}"


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of all does not exceed (nearest rank); NaN of nothing."""
    return quantile_of(Counter(values), share)


def quantile_of(counts: Mapping[float, int], share: float) -> float:
    """The same of values that were counted."""
    wanted = max(1, ceil(round(share * sum(counts.values()), 9)))
    seen = 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= wanted:
            return value
    return float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a load saw: requests by outcome, latencies by whole microseconds, and how long it took."""

    outcomes: Mapping[str, int]
    micros: Mapping[float, int]
    seconds: float

    @property
    def requests(self) -> int:
        """All, however they ended."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        """Those that did not end with 200."""
        return self.requests - self.outcomes.get("200", 0)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    def ms(self, share: float) -> float:
        """A quantile of the latency in milliseconds."""
        return quantile_of(self.micros, share) / 1000

    def failures(self) -> str:
        """How the failed ones ended."""
        return ", ".join(f"{count} x {how}" for how, count in sorted(self.outcomes.items()) if how != "200")


def together(tallies: Sequence[Tally]) -> Tally:
    """Several rounds as one."""
    outcomes: Counter[str] = Counter()
    micros: Counter[float] = Counter()
    for each in tallies:
        outcomes.update(each.outcomes)
        micros.update(each.micros)
    return Tally(outcomes=outcomes, micros=micros, seconds=sum(each.seconds for each in tallies))
