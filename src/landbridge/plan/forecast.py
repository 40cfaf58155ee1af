"""What the judge can tell about the new side, and what it costs, in sentences for the plan."""

from __future__ import annotations

from functools import cache
from math import isfinite

from landbridge.judge import Bursts, power, shadow
from landbridge.model.plan import ActKind, Plan
from landbridge.model.service import ServiceId

_COUNTS = {
    Bursts.CAP: "failures in one bunch count little, so that no bunch breaks the promise of alpha; faults from the "
    "start cost 4 to 30 % more bad requests for it, late ones at large shares up to 2.6 times as many",
    Bursts.REQUEST: "each failed request counts, which is soonest; failures that come in bunches break the promise",
    Bursts.SESSION: "each failed session counts: the data has to count sessions",
}


@cache
def forecast(percent: int, dwell: float, rate: float | None, *, alpha: float, beta: float) -> str:
    """Requests expected, the smallest ratio of error rates that would be seen, bad requests at ratio 10.

    Where that ratio is above 10, what to do about it.
    """
    if percent >= 100:
        return "nothing to compare with: the soak watches"
    if rate is None:
        needed = power.dwell(1.0, percent / 100, alpha=alpha, beta=beta)
        return f"sees ten times the errors after about {_short(needed)} requests" if isfinite(needed) else ""
    step = power.step(percent, dwell, rate, base=power.BASE_RATE, alpha=alpha, beta=beta)
    seen = step.advice or f"sees {step.ratio:.1f} times the errors"
    return (
        f"{_short(step.requests)} requests, {_short(step.target_requests)} of them on the target: {seen}; "
        f"a copy that fails ten times as often costs about {step.bad_at_10:.2g} bad ones"
    )


@cache
def copied(percent: int, dwell: float, rate: float | None, *, alpha: float, beta: float) -> str:
    """What a shadow shows before the first user: copies, and the smallest ratio of error rates that would be seen."""
    start = "nothing of it is seen by users"
    share = shadow.share(percent)
    if rate is None:
        needed = power.dwell(1.0, share, alpha=alpha, beta=beta) / (1.0 + percent / 100)
        return f"{start}; sees ten times the errors after about {_short(needed)} requests by GET or HEAD"
    requests = rate * dwell
    ratio = power.detectable_ratio(requests * (1.0 + percent / 100), share, power.BASE_RATE, alpha, beta)
    seen = f"sees {ratio:.1f} times the errors" if ratio is not None else f"{power.UNDECIDED}, and goes on all the same"
    copies = f"{_short(requests * percent / 100)} copies if all {_short(requests)} requests are GET or HEAD"
    return f"{start}; {copies}: {seen}"


@cache
def dwell(percent: int, least: float, most: float, rate: float | None, *, alpha: float, beta: float) -> float:
    """Seconds at a weight: stretched, where the rate is known, until ten times the errors would be seen."""
    if percent >= 100 or rate is None:
        return least
    return power.stretched(least, max(least, most), rate, percent / 100, alpha=alpha, beta=beta)


def counting(how: str) -> str:
    """How runs count failures, and the price of that."""
    bursts = Bursts(how)
    return f"The judge counts failures with bursts: {bursts.value} ({_COUNTS[bursts]}; docs/judge.md, Bunches)."


def rarely(provider: str, how: str) -> str:
    """What cutting bunches costs where looks are as far apart as scrapes; empty where they are not."""
    if provider != "prometheus" or Bursts(how) is not Bursts.CAP:
        return ""
    return (
        "Prometheus brings counts once a scrape, and with bursts: cap one failure a scrape counts, which sees faults "
        "late. Say bursts: request where failures are independent, or session (docs/judge.md)."
    )


def mistaken(services: int, alpha: float) -> str:
    """How many healthy services come home by mistake: alpha is each service's own."""
    return f"Alpha is per service: of {services} healthy ones at most {services * alpha:.2g} come home by mistake."


def ramps(plan: Plan) -> set[ServiceId]:
    """The services that the judge watches."""
    entries = [entry for wave in plan.waves for entry in wave.services]
    return {entry.service for entry in entries if any(act.kind is ActKind.WEIGHT for act in entry.acts)}


def quiet(plan: Plan) -> str:
    """How many services have steps at which the judge could not tell a total failure; empty when none has."""
    found = {
        str(entry.service)
        for wave in plan.waves
        for entry in wave.services
        if any(power.UNDECIDED in act.note for act in entry.acts)
    }
    if not found:
        return ""
    named = ", ".join(sorted(found)[:10]) + (", ..." if len(found) > 10 else "")
    many = f"{len(found)} services are" if len(found) > 1 else "1 service is"
    help_ = "load of your own is judged at any weight, and in a shadow by copies; by x-landbridge-side it is not"
    return f"{many} too quiet for some steps ({power.UNDECIDED}): {named}. What helps: {help_} (docs/judge.md)."


def _short(number: float) -> str:
    """Two significant digits are all that a forecast has."""
    return f"{float(f'{number:.2g}'):,.0f}"
