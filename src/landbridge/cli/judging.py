"""`judge`: the verdict over recorded counts, for back-testing. It needs no folder, no run and no cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter, validators
from rich.console import Group
from rich.markup import escape

from landbridge.cli import folder
from landbridge.cli.output import Where, columns, emit, seconds_of
from landbridge.clock import rfc3339
from landbridge.errors import DocumentError, Exit
from landbridge.judge import Decision
from landbridge.judge.backtest import UNKNOWN_WEIGHT, Judged, Result, backtest
from landbridge.judge.bursts import Bursts
from landbridge.judge.interval import GRID
from landbridge.judge.state import Settings

HERE = Where()
EPOCH_FROM = 1e8
"""Times below this are seconds since some begin, from here on since 1970."""


def register(app: cyclopts.App) -> None:
    """Add this command."""
    app.command(judge)


def judge(
    file: str,
    /,
    *,
    alpha: Annotated[float, Parameter(validator=validators.Number(gt=0, lt=0.5))] = 0.01,
    dwell: str = "60s",
    bursts: Bursts = Bursts.CAP,
    slo: Annotated[float | None, Parameter(validator=validators.Number(gt=0, lt=1))] = None,
    slo_rolls_back: bool = False,
    must_see: Annotated[float | None, Parameter(validator=validators.Number(gt=1))] = None,
    pass_below: Annotated[float | None, Parameter(validator=validators.Number(gt=1))] = None,
    compare: bool = False,
    where: Where = HERE,
) -> int:
    """Say what the judge would have said to recorded counts; exit 5 when it would have rolled back, else 0.

    Example: `landbridge judge counts.csv --compare`

    Parameters
    ----------
    file:
        CSV with a head, or JSON lines, here or in the migration's folder; /dev/stdin for a pipe. Columns: time
        (seconds, or RFC 3339), new_requests, new_bad, old_requests, old_bad, each row what was counted since the row
        before. Optional: weight, new_slower_100 and old_slower_100 (requests slower than 100 ms; any number of bounds).
    alpha:
        How often a healthy service may be rolled back at most.
    dwell:
        Time at each weight, such as 60s or 5m.
    bursts:
        What counts as one failure: request, session, or cap (failures that come in bunches count little).
    slo:
        Highest share of bad requests over both sides; above it the ramp holds.
    slo_rolls_back:
        Also roll back when the target alone breaks the SLO: outside the promise of alpha.
    must_see:
        Leave a step when a target that fails so many times as often would have been seen.
    pass_below:
        Leave a step with evidence that the target fails less than so many times as often.
    compare:
        Also say when the rules of Flagger, Argo Rollouts and Kayenta would have rolled back.
    """
    if slo_rolls_back and slo is None:
        raise DocumentError(
            "--slo-rolls-back needs --slo", where="--slo-rolls-back", advice="give the SLO, as --slo 0.01"
        )
    asked = Settings(
        alpha=alpha,
        bursts=bursts,
        slo=slo,
        slo_rolls_back=slo_rolls_back,
        must_see=must_see,
        pass_below=pass_below,
    )
    text = _text(file, where)
    found = backtest(text, file=file, dwell=seconds_of(dwell, "--dwell"), compare=compare, settings=asked)
    emit(_plain(found), where.output, table=_story(found, alpha))
    return Exit.ROLLED_BACK if found.verdict.decision is Decision.ROLL_BACK else Exit.DONE


def _text(file: str, where: Where) -> str:
    path = Path(file)
    if not path.exists() and where.file(file).exists():
        path = where.file(file)
    return folder.text(path, "name a CSV or JSON lines file; `landbridge judge --help` has the columns")


def _plain(found: Result) -> dict[str, Any]:
    """Only what JSON knows: a ratio without an upper bound has none."""
    ratio = {name: value for name, value in asdict(found.ratio).items() if value is None or isfinite(value)}
    return {
        "decision": found.verdict.decision.value,
        "reason": found.verdict.reason.value if found.verdict.reason else None,
        "detail": found.verdict.detail,
        "evidence": found.verdict.evidence,
        "decided_at": found.decided_at,
        "bad": found.bad,
        "requests": found.requests,
        "ratio": {"low": None, "high": None} | ratio,
        "at_least": found.at_least,
        "bound": found.bound,
        "changes": [
            {"line": row.line, "time": row.at, "weight": row.weight, "verdict": str(row.verdict)}
            for row in _changes(found)
        ],
        "compared": [asdict(rule) for rule in found.compared],
    }


def _changes(found: Result) -> Iterator[Judged]:
    """The rows at which the answer or its reason became another."""
    before: tuple[int, Decision, Any] | None = None
    for row in found.verdicts:
        now = (row.weight, row.verdict.decision, row.verdict.reason)
        if now != before:
            yield row
        before = now


def _story(found: Result, alpha: float) -> Group:
    known = any(row.weight != UNKNOWN_WEIGHT for row in found.verdicts)
    rows = [
        (row.line, _time(row.at), f"{row.weight} %" if known else "", escape(str(row.verdict)))
        for row in _changes(found)
    ]
    parts: list[Any] = [columns(("line", "time", "weight" if known else "", "verdict from here on"), rows), ""]
    until = f"at {_time(found.decided_at)}" if found.decided_at is not None else "to the end"
    parts.append(f"verdict:  {escape(str(found.verdict))}")
    parts.append(f"evidence: {found.verdict.evidence:.3g}, rolls back at {1 / alpha:.0f}")
    parts.append(f"target:   {found.bad} bad of {found.requests} requests {until}")
    parts.append(f"ratio:    {_ratio(found)}")
    if found.bound is not None:
        parts.append(f"bound:    at this ratio any test lets {found.bound:.1f} bad requests through on average")
    if found.compared:
        told = [(c.rule, _time(c.at) if c.at is not None else "never", c.bad) for c in found.compared]
        told.insert(0, ("landbridge", _time(found.decided_at) if found.decided_at is not None else "never", found.bad))
        parts += ["", columns(("rule", "rolls back at", "bad requests by then"), told)]
    return Group(*parts)


def _ratio(found: Result) -> str:
    if found.ratio.changed:
        return "no single ratio fits: it changed on the way"
    if found.ratio.estimate is None:
        return "not known: too few failures"
    low, high = f"{found.ratio.low:.3g}", f"{found.ratio.high:.3g}"
    between = f"between {low} and {high}" if isfinite(found.ratio.high) else f"at least {low}"
    best = "" if found.ratio.estimate >= GRID[-1] else f", best {found.ratio.estimate:.3g}"  # the source had none
    return f"the target fails {between} times as often as the source (95 %){best}"


def _time(at: float) -> str:
    return rfc3339(at)[:19] if at >= EPOCH_FROM else f"{at:g} s"
