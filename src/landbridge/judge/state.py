"""What the judge remembers between looks: enough to go on after a crash as if nothing had been, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import exp, log
from typing import Any

from landbridge.judge import errors
from landbridge.judge.blocks import Open, Sums
from landbridge.judge.bursts import Bursts
from landbridge.judge.errors import Evidence
from landbridge.judge.interval import NO_CURVE, Curve
from landbridge.judge.latency import Gauge, Tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The rules of one ramp, fixed before its first request; changing them in mid-ramp voids the promise."""

    alpha: float = 0.01
    """Probability that a healthy service is rolled back, over the whole ramp and all looks."""
    null: float = 1.0
    """How many times the old side's failure rate is still healthy."""
    bursts: Bursts = Bursts.CAP
    latency: bool = True
    errors_share: float = 0.9
    """Weight of the errors' evidence beside the latency's; 1 where latency is not judged."""
    margin: float = 1.05
    """How many times the old side's latency tail is still healthy; below 1.25 times no bet grows."""
    hop: float = 1.0
    """Milliseconds that the new path may add."""
    block_seconds: float = 30.0
    """Age at which a block closes with fewer than 50 requests."""
    stale: float = 5.0
    """Seconds after which a look is too old to decide on."""
    timeout: float = 15.0
    """Longest a request may take: so long nothing is counted after a weight was lowered."""
    slo: float | None = None
    """Highest share of bad requests over both sides; above it the ramp holds."""
    slo_rolls_back: bool = False
    """Roll back when the new side alone breaks the SLO: a policy outside the promise of alpha."""
    must_see: float | None = None
    """A step is left only when a ratio so large would have been seen in it."""
    pass_below: float | None = None
    """A step is left only with evidence that the new side fails less than so many times as often as the old."""

    @property
    def share(self) -> float:
        """The errors' part of the evidence."""
        return self.errors_share if self.latency else 1.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Requests and errors of both sides; floats where old ones fade."""

    n_new: float = 0
    n_old: float = 0
    bad_new: float = 0
    bad_old: float = 0


@dataclass(frozen=True, slots=True)
class Before:
    """The old side before the ramp: requests, errors, and how many were slower than each bound."""

    n: int = 0
    bad: int = 0
    slower: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """What was counted since the weight last changed."""

    counts: Totals = Totals()
    blocks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeState:
    """The judge of one service's ramp attempt. `weight` None: the next look says which weight holds now."""

    settings: Settings
    errors: Evidence
    gauges: tuple[Gauge, ...] | None = None
    tails: tuple[Evidence, ...] = ()
    passing: Evidence | None = None
    low: Curve = NO_CURVE
    high: Curve = NO_CURVE
    open: Mapping[str, Open] = field(default_factory=dict)
    at: float | None = None
    weight: int | None = None
    last_weight: int | None = None
    before: Before = Before()
    recent: Totals = Totals()
    step: Step = Step()
    total: Totals = Totals()
    peak: float = 0.0
    """Highest evidence ever, as its logarithm."""
    crossed_at: float | None = None
    quiet_until: float | None = None
    skip: bool = False
    restarted: str = ""
    fault: str = ""

    @property
    def evidence(self) -> float:
        """The evidence now that the new side is worse; 1 is none, 1/alpha is enough."""
        return exp(min(self.log_evidence, 700.0))

    @property
    def log_evidence(self) -> float:
        """Logarithm of the evidence now."""
        return evidence_of(self.settings, self.errors, self.tails)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON; `from_json` gives back an equal state."""
        return encode(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JudgeState:
        """The state that `to_json` wrote; fields added by a newer version get their defaults."""
        return decode(data)


def evidence_of(settings: Settings, failures: Evidence, tails: tuple[Evidence, ...]) -> float:
    """Logarithm of errors and latency together: a weighted mean of two e-processes is one."""
    share = settings.share
    parts = [errors.log_value(failures) + log(share)]
    if share < 1.0:
        slow = errors.log_sum([errors.log_value(e) for e in tails]) - log(len(tails)) if tails else 0.0
        parts.append(slow + log(1.0 - share))
    return errors.log_sum(parts)


def encode(state: JudgeState) -> dict[str, Any]:
    """One JSON object per part; the many numbers as lists."""
    data: dict[str, Any] = {f.name: getattr(state, f.name) for f in fields(state)}
    data["settings"] = asdict(state.settings)
    data["errors"] = evidence_json(state.errors)
    data["tails"] = [evidence_json(e) for e in state.tails]
    data["passing"] = evidence_json(state.passing) if state.passing else None
    data["gauges"] = None if state.gauges is None else [[g.bound, g.tail.value] for g in state.gauges]
    # written each second for each service: a curve that says nothing, or the same as the other, takes no room
    data["low"] = curve_json(state.low)
    data["high"] = None if state.high == state.low else curve_json(state.high)
    data["open"] = {stratum: open_json(block) for stratum, block in state.open.items()}
    data["before"] = [state.before.n, state.before.bad, dict(state.before.slower)]
    for name in ("recent", "total"):
        data[name] = numbers(data[name])
    data["step"] = [numbers(state.step.counts), state.step.blocks]
    return data


def decode(data: Mapping[str, Any]) -> JudgeState:
    """The inverse of `encode`."""
    known = {f.name for f in fields(JudgeState)}
    parts: dict[str, Any] = {name: value for name, value in data.items() if name in known}
    settings = {f.name: data["settings"][f.name] for f in fields(Settings) if f.name in data["settings"]}
    parts["settings"] = Settings(**settings | {"bursts": Bursts(settings["bursts"])})
    parts["errors"] = evidence(data["errors"])
    parts["tails"] = tuple(evidence(e) for e in data["tails"])
    parts["passing"] = evidence(data["passing"]) if data["passing"] else None
    gauges = data["gauges"]
    parts["gauges"] = None if gauges is None else tuple(Gauge(bound, Tail(tail)) for bound, tail in gauges)
    parts["low"] = curve(data["low"])
    parts["high"] = parts["low"] if data["high"] is None else curve(data["high"])
    parts["open"] = {stratum: open_block(row) for stratum, row in data["open"].items()}
    parts["before"] = Before(*data["before"])
    for name in ("recent", "total"):
        parts[name] = Totals(*data[name])
    counts, blocks = data["step"]
    parts["step"] = Step(Totals(*counts), blocks)
    return JudgeState(**parts)


def curve_json(c: Curve) -> list[list[float]]:
    """A curve as two lists; none while it is flat."""
    return [] if c == NO_CURVE else [list(c.likelihood), list(c.against)]


def curve(rows: list[list[float]]) -> Curve:
    """A curve from its lists."""
    return Curve(*(tuple(row) for row in rows)) if rows else NO_CURVE


def evidence_json(e: Evidence) -> list[Any]:
    """Evidence as a list."""
    return [list(e.cells), e.unspent, e.restarts]


def evidence(row: list[Any]) -> Evidence:
    """Evidence from a list."""
    return Evidence(tuple(row[0]), row[1], row[2])


def numbers(side: Totals) -> list[float]:
    """Four numbers as a list."""
    return [side.n_new, side.n_old, side.bad_new, side.bad_old]


def open_json(block: Open) -> list[Any]:
    """An open block as a list."""
    return [
        block.unit_since,
        sums_json(block.unit),
        sums_json(block.block),
        block.full_new,
        block.spared_old,
        block.began,
    ]


def open_block(row: list[Any]) -> Open:
    """An open block from a list."""
    return Open(row[0], sums(row[1]), sums(row[2]), row[3], row[4], row[5] if len(row) > 5 else row[0])


def sums_json(s: Sums) -> list[Any]:
    """Sums as a list."""
    return [s.n_new, s.n_old, s.bad_new, s.bad_old, list(s.tails_new), list(s.tails_old)]


def sums(row: list[Any]) -> Sums:
    """Sums from a list."""
    return Sums(row[0], row[1], row[2], row[3], tuple(row[4]), tuple(row[5]))
