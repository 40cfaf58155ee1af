"""`make bench-flagger`: Flagger and landbridge side by side on the lab; a table, and docs/flagger-benchmark.md.

    python -m benchmarks.flagger [--quick] [--rate 40] [--index N] [--json FILE] [--docs docs] [--logs DIR]

The ramps of a rule run at the same time, each on a service of its own. Needs Linux and root, as every lab; Flagger is
built once from its Go module. The exit code is 1 when the goal is missed or a ramp did not end as it had to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from benchmarks.flagger import report
from benchmarks.flagger.bed import LOG, bed
from benchmarks.flagger.cases import DOCS, EAGER, FAULTS, LANDBRIDGE, RUNS, SHORT, Case, Rule, cases
from benchmarks.flagger.report import Measured
from benchmarks.flagger.theirs import halts
from benchmarks.traffic import say
from landbridge.clock import SystemClock
from landbridge.errors import LandbridgeError

AROUND = 220.0
"""Seconds for the lab, the pods, Flagger's first ticks and the adoption, beside the ramps."""
PAUSE = 30.0
"""Seconds for the load to begin and to end around the ramps of a rule."""


async def measure(todo: Sequence[Case], rules: Sequence[Rule], options: argparse.Namespace) -> Measured:
    """Lab up, all ramps, lab down."""
    clock = SystemClock()
    began = clock.monotonic()

    def told(line: str) -> None:
        say(f"{clock.monotonic() - began:6.0f} s  {line}")

    with folder_of(options.logs) as folder:
        laid = bed(todo, rate=options.rate, index=options.index, folder=folder, clock=clock, say=told)
        async with laid as (ground, parts):
            runs = await ground.measure(parts)
            failed = halts((folder / LOG).read_text().splitlines())
    return Measured(
        runs=tuple(runs),
        rules=tuple(rules),
        faults=tuple(sorted({case.fault for case in todo} - {0})),
        rate=options.rate,
        seconds=clock.monotonic() - began,
        cores=os.cpu_count() or 1,
        halts=failed,
    )


@contextmanager
def folder_of(logs: Path | None) -> Iterator[Path]:
    """A new folder for logs, the load generator's lines and the migration; kept when it was asked for."""
    if logs is None:
        with TemporaryDirectory(prefix="landbridge-bench-") as place:
            yield Path(place)
    else:
        logs.mkdir(parents=True, exist_ok=True)
        yield Path(mkdtemp(prefix="run-", dir=logs.resolve()))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flagger", description="landbridge beside Flagger.")
    parser.add_argument("--quick", action="store_true", help="a run of each kind, Flagger's minute as 10 s; no page")
    parser.add_argument("--rate", type=float, default=40.0, help="requests a second to each service")
    parser.add_argument("--index", type=int, help="the lab's index")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the runs and figures as JSON too")
    parser.add_argument("--docs", type=Path, default=Path("docs"), metavar="DIR", help="where the page goes")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the logs of Flagger, Prometheus and the load")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print, write; 1 when something is not as it has to be or could not be measured."""
    options = parse(argv)
    rules = (LANDBRIDGE, SHORT if options.quick else DOCS, EAGER)
    todo = cases(rules, FAULTS, 1 if options.quick else RUNS)
    minutes = (AROUND + sum(rule.longest + PAUSE for rule in rules)) / 60
    say(f"flagger: {len(todo)} ramps, about {minutes:.0f} minutes, and a few more where Flagger is built first")
    try:
        measured = asyncio.run(measure(todo, rules, options))
    except LandbridgeError as error:
        print(f"flagger NOT MEASURED: {error}", flush=True)
        return 1
    print("\n".join([*report.rows(measured), "", *(figure.line() for figure in report.figures(measured))]), flush=True)
    for line in report.wrong(measured):
        print(f"wrong: {line}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report.document(measured), indent=2) + "\n")
    if not options.quick:
        (options.docs / "flagger-benchmark.md").write_text(report.page(measured))
    return int(bool(report.wrong(measured)) or not report.goal(measured).holds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
