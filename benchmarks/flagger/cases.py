"""What is measured and what came of it: which rule watches which service, and the counts of its callers (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean
from typing import Any

STEPS = (10, 20, 30, 40, 50)
"""The weights of Flagger's example for Gateway API: stepWeight 10, maxWeight 50; landbridge gets the same."""
FAULTS = (5, 50)
RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Who watches, and how: `interval` (seconds between checks) and `threshold` are Flagger's, 0 for landbridge."""

    key: str
    title: str
    interval: int = 0
    threshold: int = 0

    @property
    def flagger(self) -> bool:
        """Whether Flagger drives it."""
        return self.interval > 0

    @property
    def longest(self) -> float:
        """Seconds that its ramps take: all failing checks and the ticks around them, or a control (10 s a weight)."""
        return max(120.0 if self.flagger else 90.0, float(self.interval * (self.threshold + 4)))

    def expected(self, rate: float, fault: int) -> float | None:
        """Bad requests that Flagger lets through when every check at the first weight fails: R p w I (T + 1)."""
        if not self.flagger:
            return None
        return rate * fault / 100 * STEPS[0] / 100 * self.interval * (self.threshold + 1)


LANDBRIDGE = Rule(key="lb", title="landbridge")
DOCS = Rule(key="fd", title="Flagger, interval 1m, threshold 5", interval=60, threshold=5)
EAGER = Rule(key="fe", title="Flagger, interval 10s, threshold 1", interval=10, threshold=1)
SHORT = Rule(key="fs", title="Flagger, interval 10s, threshold 5", interval=10, threshold=5)
"""In place of DOCS where only a trial is wanted."""


class End(StrEnum):
    """How a ramp ended."""

    BACK = "rolled back"
    ACROSS = "promoted"
    OPEN = "not ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One ramp of one service; a `fault` of 0 is the control: a sound copy has to get across."""

    rule: Rule
    fault: int
    number: int

    @property
    def name(self) -> str:
        """The name of its Deployment, and of what is called for it."""
        return f"{self.rule.key}-{self.fault}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What the load generator counted of one ramp.

    `bad`: answers 5xx of the broken copy; `other`: all other failures. `served`: requests that the new copy answered.
    `seconds`: from the new copy's first answer to its last one, to the second.
    """

    case: Case
    end: End
    requests: int
    served: int
    bad: int
    other: int
    seconds: float


def cases(rules: Sequence[Rule], faults: Sequence[int], runs: int) -> tuple[Case, ...]:
    """All ramps that are measured, and a control for landbridge and for the quickest of Flagger's settings."""
    measured = [Case(rule=r, fault=f, number=n) for r in rules for f in faults for n in range(1, runs + 1)]
    quick = min((rule for rule in rules if rule.flagger), key=lambda rule: (rule.interval, rule.threshold))
    return (*measured, *(Case(rule=r, fault=0, number=1) for r in (LANDBRIDGE, quick)))


def read(case: Case, end: End, lines: Sequence[Mapping[str, Any]]) -> Run:
    """A ramp's figures from the lines of the load generator, whose counts are totals, a line a second."""
    counts = [(float(line["seconds"]), line["targets"][case.name]) for line in lines if case.name in line["targets"]]
    served = [(at, int(count["sides"].get("new", 0))) for at, count in counts]
    last = counts[-1][1]
    some = [at for at, n in served if n]
    final = [at for at, n in served if n == served[-1][1]]
    return Run(
        case=case,
        end=end,
        requests=int(last["requests"]),
        served=served[-1][1],
        bad=int(last["failed_by_broken_copy"]),
        other=int(last["failed"]),
        seconds=final[0] - some[0] if some else 0.0,
    )


def of(runs: Sequence[Run], rule: Rule, fault: int) -> list[Run]:
    """The runs of one kind."""
    return [run for run in runs if run.case.rule == rule and run.case.fault == fault]


def mean_bad(runs: Sequence[Run], rule: Rule, fault: int) -> float:
    """Mean bad requests; NaN without a run."""
    found = [run.bad for run in of(runs, rule, fault)]
    return fmean(found) if found else float("nan")
