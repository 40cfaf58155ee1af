"""What the benchmark says: a table, the goal as a figure with its limit, and the page (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.figures import Figure
from benchmarks.flagger import metrics, objects, ours
from benchmarks.flagger.cases import LANDBRIDGE, STEPS, End, Rule, Run, mean_bad, of
from benchmarks.flagger.program import VERSION
from benchmarks.flagger.theirs import BLIND

NAME = "flagger"
TIMES = 10.0
"""By which landbridge has to be better than Flagger as its documentation sets it."""
AT = 5
"""Percent of failures at which that is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All runs, and what they were made with: requests a second to each service, seconds, cores of the machine.

    `halts`: Flagger's failed checks by metric.
    """

    runs: tuple[Run, ...]
    rules: tuple[Rule, ...]
    faults: tuple[int, ...]
    rate: float
    seconds: float
    cores: int
    halts: Mapping[str, int]

    @property
    def peer(self) -> Rule:
        """Flagger's setting that the goal speaks of: the one with the highest threshold."""
        return max((rule for rule in self.rules if rule.flagger), key=lambda rule: rule.threshold)


def goal(measured: Measured) -> Figure:
    """landbridge's bad requests against a tenth of Flagger's; one that did not come home keeps no limit."""
    theirs = mean_bad(measured.runs, measured.peer, AT)
    found = of(measured.runs, LANDBRIDGE, AT)
    home = bool(found) and all(run.end is End.BACK for run in found)
    return Figure(
        benchmark=NAME,
        what=f"bad requests of landbridge at a {AT} % fault, mean of {len(found)}",
        value=mean_bad(measured.runs, LANDBRIDGE, AT) if home else float("nan"),
        limit=theirs / TIMES,
        why=f"a tenth of {theirs:.1f}, {measured.peer.title}",
    )


def ratios(measured: Measured) -> Iterator[Figure]:
    """How many times as many bad requests each of Flagger's settings lets through."""
    for rule in measured.rules:
        for fault in measured.faults if rule.flagger else ():
            least = mean_bad(measured.runs, LANDBRIDGE, fault)
            value = mean_bad(measured.runs, rule, fault) / least if least else float("inf")
            yield Figure(
                benchmark=NAME,
                what=f"{rule.title.removeprefix('Flagger, ')}, {fault} %",
                value=value,
                unit="x",
                why="bad requests of Flagger over those of landbridge",
            )


def figures(measured: Measured) -> list[Figure]:
    """The goal last."""
    return [*ratios(measured), goal(measured)]


def wrong(measured: Measured) -> list[str]:
    """What must not have happened: ramps without an end, faults that got across, sound copies that did not."""
    said = []
    for run in measured.runs:
        right = End.BACK if run.case.fault else End.ACROSS
        if run.end is not right:
            said.append(f"{run.case.name}: {run.end}, and not {right}")
        if run.other:
            said.append(f"{run.case.name}: {run.other} requests failed that the broken copy did not fail")
    if blind := measured.halts.get(BLIND):
        said.append(f"{blind} of Flagger's checks failed for want of values")
    return said


def rows(measured: Measured) -> Iterator[str]:
    """The table: one row a rule and fault, runs side by side."""
    yield "| rule | fault | bad requests | mean | expected | to the new copy | seconds with traffic | end |"
    yield "|---|---|---|---|---|---|---|---|"
    for fault in (*measured.faults, 0):
        for rule in measured.rules:
            found = of(measured.runs, rule, fault)
            if found:
                yield f"| {rule.title} | {fault} % | {_row(measured, found, rule, fault)} |"


def _row(measured: Measured, found: Sequence[Run], rule: Rule, fault: int) -> str:
    expected = rule.expected(measured.rate, fault) if fault else None
    parts = [
        ", ".join(str(run.bad) for run in found),
        f"{mean_bad(found, rule, fault):.1f}",
        f"{expected:.0f}" if expected is not None else "",
        ", ".join(f"{run.served:,}" for run in found),
        ", ".join(f"{run.seconds:.0f}" for run in found),
        ", ".join(sorted({str(run.end) for run in found})),
    ]
    return " | ".join(parts)


def document(measured: Measured) -> dict[str, Any]:
    """For programs."""
    return {
        "rate": measured.rate,
        "seconds": round(measured.seconds),
        "flagger": VERSION,
        "halts": dict(measured.halts),
        "runs": [_run(run) for run in measured.runs],
        "figures": [figure.document() for figure in figures(measured)],
        "wrong": wrong(measured),
    }


def _run(run: Run) -> dict[str, Any]:
    told = {key: value for key, value in asdict(run).items() if key != "case"}
    case = run.case
    return {"rule": case.rule.title, "fault": case.fault, "number": case.number, **told, "end": str(run.end)}


PAGE = """# Beside Flagger

Written by `make bench-flagger`; do not edit. Flagger {version} itself, built from its published module, and landbridge
move services of one lab over the same waypoint, under the same load, with the same fault in the new copy from its first
moment. Counted: answers 5xx of the broken copy, by the load generator, from the first request that reaches it until
none does. {seconds:.0f} s on {cores} cores.

{rows}

`expected` is the formula for a check that fails from the first weight on: requests/s x share of failures x first
weight x interval x (threshold + 1), for Flagger tests its threshold before the analysis. Fault 0 % is the control: a
sound copy has to get across. {other:,} of {requests:,} requests failed otherwise. Flagger's failed checks by metric:
{halts}.

## Goal

| figure | limit | measured | |
|---|---|---|---|
| {goal} | {limit:.1f} ({why}) | {value:.1f} | {holds} |

{ratios}

{wrong}

Flagger's exposure is a time, so its bad requests grow with the rate, and landbridge's do not: it needs a number of
failures, whatever time that takes. At {rate:g} requests/s to each service the ratio is as above; at a tenth of the rate
Flagger's would be a tenth, and above it grows in proportion. A short interval with threshold 1 comes close to
landbridge in this table; what it costs is in [the judge's benchmark](judge-benchmark.md): an absolute bound of 1 %
takes healthy releases home too, when traffic is low or both sides are noisy.

## What is the same

- One waypoint (a pod of Envoy in the namespace `{namespace}`) carries all services; each is divided by an HTTPRoute
  with a Service as parent, which Flagger writes for its services and landbridge for its own.
- {rate:g} requests/s to each service from one open-loop generator. The ramps of a rule run at the same time on services
  of their own, so that it takes minutes and not hours; the rules follow one another, so that all have the same load.
- The program of the services, and the fault: each answer of the new copy is 500 with the given probability, drawn one
  by one. The new copy differs from the old one in that one variable of its environment.
- The weights {steps} and a minute at each (`stepWeight` {step}, `maxWeight` {most}, `interval` 1m; dwell
  {dwell:g} s), as in Flagger's tutorial for Gateway API. At the controls and with interval 10s it is 10 s.

## What is not

- Flagger compares two Deployments in one cluster; landbridge moves the service from one cluster to another, so its new
  copy is behind a gateway with mTLS. That does not change what fails.
- Flagger reads Prometheus, which scrapes every {scrape} (as the one that its chart brings) what the waypoints' Envoys
  count. landbridge reads the same counters itself, once a second.
- Flagger's checks are those of the tutorial, asked of these counters: `error-rate` at most 1 % in 1m (a success rate of
  99 %), and `latency`, at most 1 % slower than 500 ms in 30s (a 99th percentile of 500 ms).
- landbridge judges with its defaults: alpha 1 %, and failures that come in the same second count once, which is what
  a fault of 50 % costs it here: it waits for seconds, not for failures.
- Callers of Flagger's services call `NAME-front`, a Service beside Flagger's apex that is adopted in its place: Flagger
  writes the selector of its apex again at each tick, and landbridge refuses to adopt a Service that Flagger switches.
- Flagger's first weight comes one interval after the release, landbridge's when the copy is ready; only requests that
  reach the new copy count.
- The queries, with Flagger's own variables:

```
{errors}

{slow}
```
"""


def page(measured: Measured) -> str:
    """The whole page."""
    found = goal(measured)
    return PAGE.format(
        version=VERSION,
        seconds=measured.seconds,
        cores=measured.cores,
        rows="\n".join(rows(measured)),
        other=sum(run.other for run in measured.runs),
        requests=sum(run.requests for run in measured.runs),
        halts=", ".join(f"{name} {count}" for name, count in sorted(measured.halts.items())) or "none",
        goal=found.what,
        limit=found.limit,
        why=found.why,
        value=found.value,
        holds="holds" if found.holds else "DOES NOT HOLD",
        ratios="\n".join(
            f"- {each.what}: {each.value:.1f} times as many bad requests as landbridge" for each in ratios(measured)
        ),
        wrong="\n".join(f"- wrong: {line}" for line in wrong(measured)) or "Every ramp ended as it had to.",
        rate=measured.rate,
        namespace=objects.NAMESPACE,
        steps=", ".join(f"{step} %" for step in STEPS),
        step=STEPS[0],
        most=STEPS[-1],
        dwell=ours.DWELL,
        scrape=metrics.SCRAPE,
        errors=objects.ERRORS,
        slow=objects.SLOW,
    )
