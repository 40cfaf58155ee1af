"""What a ramp can know: the least number of bad requests any test needs, and what each step of a plan can see.

Information is counted in nats. A test with false-alarm probability alpha and miss probability beta needs
d = kl(1 - beta, alpha) of it, whatever it computes (data processing inequality); a request at share w of the new side
gives JS_w, the weighted Jensen-Shannon divergence of the two sides' outcomes. docs/judge.md has the derivation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, inf, log

OVERHEAD = 1.6
"""Information our test uses over the bound's, ratios 5 to 20, one look a second (docs/judge-benchmark.md)."""

BASE_RATE = 0.001
"""The old side's error rate where none was seen."""


def kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    total = 0.0
    for a, b in ((p, q), (1.0 - p, 1.0 - q)):
        if a > 0.0:
            total += a * log(a / b) if b > 0.0 else inf
    return total


def need(alpha: float = 0.01, beta: float = 0.01) -> float:
    """Nats that any test with these two error probabilities needs; 4.50 at 1 % and 1 %."""
    return kl(1.0 - beta, alpha)


def b_star(ratio: float, alpha: float = 0.01, beta: float = 0.01) -> float:
    """The least mean number of bad requests before a roll-back at this ratio, whatever the ramp; rare errors."""
    return need(alpha, beta) * ratio / (ratio * log(ratio) - ratio + 1.0)


def information(share: float, new: float, old: float) -> float:
    """Nats that one request gives at this share of the new side, for these failure probabilities."""
    mean = share * new + (1.0 - share) * old
    return share * kl(new, mean) + (1.0 - share) * kl(old, mean)


def detectable_ratio(
    requests: float, share: float, base: float = BASE_RATE, alpha: float = 0.01, beta: float = 0.01
) -> float | None:
    """The smallest ratio our test sees in so many requests at this share (0..1); None: it cannot decide here."""
    wanted = need(alpha, beta) * OVERHEAD
    if requests <= 0.0 or not 0.0 < share < 1.0 or requests * information(share, 1.0, base) < wanted:
        return None
    low, high = base, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if requests * information(share, middle, base) >= wanted else (middle, high)
    return high / base


def expected_bad(ratio: float = 10.0, alpha: float = 0.01, beta: float = 0.01) -> float:
    """Bad requests that our test lets through on average before it rolls back, at this ratio."""
    return OVERHEAD * b_star(ratio, alpha, beta)


def dwell(
    rate: float, share: float, ratio: float = 10.0, base: float = BASE_RATE, alpha: float = 0.01, beta: float = 0.01
) -> float:
    """Seconds at this share until our test would see the ratio, at `rate` requests a second; inf where it never can."""
    gained = information(share, min(1.0, ratio * base), base) if 0.0 < share < 1.0 else 0.0
    return OVERHEAD * need(alpha, beta) / (rate * gained) if rate > 0.0 and gained > 0.0 else inf


def stretched(
    least: float,
    most: float,
    rate: float,
    share: float,
    *,
    ratio: float = 10.0,
    alpha: float = 0.01,
    beta: float = 0.01,
) -> float:
    """Seconds that a step lasts: `least`, or until it can see the ratio, at most `most`; whole seconds."""
    wanted = ceil(min(dwell(rate, share, ratio, alpha=alpha, beta=beta), 1e9))
    return max(least, min(float(wanted), most))


def ramp_bound(
    ramp: Iterable[tuple[float, float]], new: float, old: float, *, alpha: float = 0.01, beta: float = 0.01
) -> float | None:
    """The least mean number of bad requests on a ramp of (requests, share) steps that never goes down.

    None: the whole ramp holds less information than any test needs.
    """
    missing, bad = need(alpha, beta), 0.0
    for requests, share in ramp:
        gain = information(share, new, old)
        used = min(requests, missing / gain) if gain > 0.0 else requests
        bad, missing = bad + used * share * new, missing - used * gain
        if missing <= 1e-12:
            return bad
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPower:
    """What one step of a plan can see; `ratio` None: it cannot decide here, `advice` says what to do instead."""

    percent: int
    seconds: float
    requests: float
    target_requests: float
    ratio: float | None
    bad_at_10: float
    seconds_for_10: float
    advice: str


def steps(
    percents: Sequence[int],
    seconds: float,
    rate: float,
    *,
    base: float = BASE_RATE,
    alpha: float = 0.01,
    beta: float = 0.01,
) -> tuple[StepPower, ...]:
    """What `plan` prints for each step: requests, smallest ratio seen, bad requests at ratio 10, time needed."""
    return tuple(step(p, seconds, rate, base=base, alpha=alpha, beta=beta) for p in percents)


def step(percent: int, seconds: float, rate: float, *, base: float, alpha: float, beta: float) -> StepPower:
    """One row of that table."""
    share, requests = percent / 100, rate * seconds
    ratio = detectable_ratio(requests, share, base, alpha, beta)
    whole = dwell(rate, share, 10.0, base, alpha, beta)
    return StepPower(
        percent=percent,
        seconds=seconds,
        requests=requests,
        target_requests=requests * share,
        ratio=ratio,
        bad_at_10=min(expected_bad(10.0, alpha, beta), requests * share * min(1.0, 10.0 * base)),
        seconds_for_10=whole,
        advice=advise(percent, ratio, whole),
    )


UNDECIDED = "cannot decide here"


def advise(percent: int, ratio: float | None, whole: float) -> str:
    """What to do where a step cannot see a fault of ratio 10."""
    if percent >= 100:
        return "nothing to compare with at 100 %: keep 1 to 5 % on the source for the last bake"
    if ratio is not None and ratio <= 10.0:
        return ""
    start = UNDECIDED if ratio is None else f"sees only ratios above {ratio:.0f}"
    longer = f"dwell {span(whole)}" if whole < 86400.0 else "bake at one share for days"
    return f"{start}: {longer}, or send synthetic load meanwhile"


def span(seconds: float) -> str:
    """A length of time in the largest unit of which it has two."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def false_rollbacks(services: int, alpha: float = 0.01) -> float:
    """Healthy services rolled back, expected over all services of a migration (each has its own alpha)."""
    return services * alpha
