"""The verdict over recorded counts: what the judge would have said, row by row, to a ramp of the past.

Rows are CSV with a head, or JSON lines: `time` (seconds, or RFC 3339), `new_requests`, `new_bad`, `old_requests`,
`old_bad`, each row what was counted since the row before. Optional: `weight` (the target's percent; without it one
weight is assumed) and `new_slower_100`, `old_slower_100`, ... (requests slower than so many milliseconds).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isfinite

from landbridge.errors import DocumentError, Mistake
from landbridge.judge import power, rules
from landbridge.judge.interval import GRID, Interval, interval, lower_bound
from landbridge.judge.observe import change_weight, observe, start
from landbridge.judge.rules import Compared, Counted
from landbridge.judge.state import JudgeState, Settings
from landbridge.judge.verdict import Decision, Verdict, verdict
from landbridge.model.look import Count
from landbridge.model.service import Side

COLUMNS = ("time", "new_requests", "new_bad", "old_requests", "old_bad")
UNKNOWN_WEIGHT = 50
USUAL = Settings()
MANY = 20
"""Mistakes told at once; the same one in every line of a long file is no news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line's counts; `slower` maps a bound in milliseconds to (new, old)."""

    line: int
    counted: Counted
    weight: int = UNKNOWN_WEIGHT
    slower: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict after one row."""

    line: int
    at: float
    weight: int
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the judge says to the whole file. `bad`: the new side's bad requests until the roll-back, or to the end."""

    verdicts: tuple[Judged, ...]
    verdict: Verdict
    decided_at: float | None
    bad: int
    requests: int
    ratio: Interval
    at_least: float
    bound: float | None = None
    """The least mean number of bad requests that any test lets through at the ratio seen; None where none is seen."""
    compared: tuple[Compared, ...] = ()


def backtest(
    text: str,
    *,
    file: str = "counts",
    dwell: float = 60.0,
    compare: bool = False,
    settings: Settings = USUAL,
) -> Result:
    """Judge the counts in `text` as if they came live; `compare` adds what other tools' rules would have done.

    Raises DocumentError with every mistake, its line and its column.
    """
    rows = read(text, file)
    state, judged = start(replace(settings, stale=float("inf"), timeout=0.0)), []
    started = rows[0].counted.at
    for row in rows:
        at = row.counted.at
        if state.weight is not None and row.weight != state.weight:
            state, started = change_weight(state), at
        state = observe(state, {file: sides(row)}, weight=row.weight, at=at)
        answer = verdict(state, step_started=started, dwell=dwell, at=at)
        judged.append(Judged(line=row.line, at=at, weight=row.weight, verdict=answer))
        if answer.decision is Decision.ROLL_BACK:
            break
    counts = [row.counted for row in rows]
    return result(state, judged, counts, rules.compare(counts) if compare else ())


def result(state: JudgeState, judged: list[Judged], counts: list[Counted], compared: tuple[Compared, ...]) -> Result:
    """The last verdict with its numbers."""
    last = judged[-1]
    decided = last.at if last.verdict.decision is Decision.ROLL_BACK else None
    ratio = interval(state.low, state.high)
    seen = ratio.estimate if not ratio.changed and ratio.estimate and 1.0 < ratio.estimate < GRID[-1] else None
    return Result(
        verdicts=tuple(judged),
        verdict=last.verdict,
        decided_at=decided,
        bad=rules.bad_by(counts, decided),
        requests=sum(c.n_new for c in counts if decided is None or c.at <= decided),
        ratio=ratio,
        at_least=lower_bound(state.low),
        bound=power.b_star(seen, state.settings.alpha) if seen else None,
        compared=compared,
    )


def sides(row: Row) -> dict[Side, Count]:
    """A row as a look's counts."""
    c, new, old = row.counted, {}, {}
    for bound, (slow_new, slow_old) in row.slower.items():
        new[bound], old[bound] = slow_new, slow_old
    return {
        Side.TARGET: Count(n=c.n_new, bad=c.bad_new, buckets=new),
        Side.SOURCE: Count(n=c.n_old, bad=c.bad_old, buckets=old),
    }


def read(text: str, file: str) -> list[Row]:
    """The rows of a CSV or JSON lines text; DocumentError with every mistake otherwise."""
    mistakes: list[Mistake] = []
    lines = jsonl(text, file, mistakes) if text.lstrip().startswith("{") else table(text, file, mistakes)
    rows, last = [], float("-inf")
    for line, cells in lines:
        row = parse(line, cells, file, mistakes)
        if row is None:
            continue
        if row.counted.at <= last:
            mistakes.append(wrong(file, line, "time", f"{cells['time']} does not come after the row before"))
        last = row.counted.at
        rows.append(row)
    if not rows and not mistakes:
        mistakes.append(Mistake(file=file, line=None, path="", message="there is no row of counts"))
    if mistakes:
        more = f", the first {MANY} are shown" if len(mistakes) > MANY else ""
        raise DocumentError(
            f"{len(mistakes)} mistakes in the counts{more}" if len(mistakes) > 1 else "a mistake in the counts",
            mistakes[:MANY],
            where=file,
            advice=f"columns: {', '.join(COLUMNS)}; optional: weight, new_slower_<ms>, old_slower_<ms>",
        )
    return rows


def wrong(file: str, line: int, column: str, message: str) -> Mistake:
    """A mistake in one column of one line."""
    return Mistake(file=file, line=line, path=column, message=message)


def table(text: str, file: str, mistakes: list[Mistake]) -> Iterator[tuple[int, dict[str, object]]]:
    """CSV: each line's cells by the head's names."""
    reader = csv.reader(io.StringIO(text))
    try:
        head = [name.strip() for name in next(reader, [])]
        missing = [name for name in COLUMNS if name not in head]
        mistakes += [wrong(file, 1, name, "this column is missing") for name in missing]
        if missing:
            return
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                message = f"{len(cells)} cells, the head has {len(head)}"
                mistakes.append(Mistake(file=file, line=reader.line_num, path="", message=message))
                continue
            yield reader.line_num, dict(zip(head, cells, strict=True))
    except csv.Error as error:
        mistakes.append(Mistake(file=file, line=max(1, reader.line_num), path="", message=f"not CSV: {error}"))


def jsonl(text: str, file: str, mistakes: list[Mistake]) -> Iterator[tuple[int, dict[str, object]]]:
    """JSON lines: each line's object."""
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        try:
            cells = json.loads(content)
        except (ValueError, RecursionError) as error:
            mistakes.append(Mistake(file=file, line=line, path="", message=f"not JSON: {error}"))
            continue
        if not isinstance(cells, dict):
            mistakes.append(Mistake(file=file, line=line, path="", message="not an object"))
            continue
        yield line, cells


def parse(line: int, cells: dict[str, object], file: str, mistakes: list[Mistake]) -> Row | None:
    """One row, or its mistakes noted."""
    found: list[Mistake] = []
    numbers = {name: number(cells, name, line, file, found) for name in COLUMNS[1:]}
    at = moment(cells, line, file, found)
    weight = number(cells, "weight", line, file, found) if "weight" in cells else UNKNOWN_WEIGHT
    if weight > 100:
        found.append(wrong(file, line, "weight", f"{weight} is above 100 percent"))
    for side in ("new", "old"):
        bad, n = numbers[f"{side}_bad"], numbers[f"{side}_requests"]
        if not found and bad > n:
            found.append(wrong(file, line, f"{side}_bad", f"{bad} bad of {n} requests"))
    slower = {
        bound: (
            number(cells, f"new_slower_{bound}", line, file, found),
            number(cells, f"old_slower_{bound}", line, file, found),
        )
        for bound in bounds(cells, line, file, found)
    }
    mistakes += found
    if found:
        return None
    n_new, bad_new, n_old, bad_old = numbers.values()
    counted = Counted(at=at, n_new=n_new, bad_new=bad_new, n_old=n_old, bad_old=bad_old)
    return Row(line=line, counted=counted, weight=weight, slower=slower)


def bounds(cells: dict[str, object], line: int, file: str, found: list[Mistake]) -> list[str]:
    """The latency bounds that a row has, each a number of milliseconds."""
    names = {name.split("_slower_", 1)[1] for name in cells if name.startswith(("new_slower_", "old_slower_"))}
    good = [bound for bound in sorted(names) if bound.isdecimal() and bound.isascii()]
    found += [
        wrong(file, line, f"new_slower_{bound}", "after slower_ stands a whole number of milliseconds")
        for bound in sorted(names - set(good))
    ]
    return good


def number(cells: dict[str, object], name: str, line: int, file: str, found: list[Mistake]) -> int:
    """A count: a whole number, not negative; 0 with a mistake noted otherwise."""
    value = cells.get(name)
    try:
        if value is None or isinstance(value, (bool, list, dict)):
            raise ValueError
        count = float(str(value))
        if not isfinite(count) or count != int(count) or abs(count) > 2**53:
            raise ValueError
    except ValueError:
        message = "this column is missing" if name not in cells else f"{shown(value)} is not a whole number"
        found.append(wrong(file, line, name, message))
        return 0
    if count < 0:
        found.append(wrong(file, line, name, f"{int(count)} is negative"))
        return 0
    return int(count)


def moment(cells: dict[str, object], line: int, file: str, found: list[Mistake]) -> float:
    """The row's time in seconds; 0 with a mistake noted where it is none."""
    value = str(cells.get("time", "")).strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            seconds = float("nan")
    if isfinite(seconds):
        return seconds
    message = "this column is missing" if "time" not in cells else f"{shown(value)} is neither seconds nor RFC 3339"
    found.append(wrong(file, line, "time", message))
    return 0.0


def shown(value: object) -> str:
    """A value as a message shows it: short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
