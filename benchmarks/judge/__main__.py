"""`make bench-judge`: every rule on the same simulated ramps; tables and a chart into docs/.

    python -m benchmarks.judge [--healthy 20000] [--faulty 6000] [--replayed 500] [--only TEXT] [--docs docs]

Both cores are used; nothing is read but the code, the seed is fixed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter
from zlib import crc32

import numpy as np

from benchmarks.judge import report
from benchmarks.judge.check import check
from benchmarks.judge.scenarios import FAULTY, HEALTHY
from benchmarks.judge.simulate import RULES, Outcome, simulate
from benchmarks.judge.traffic import Scenario

PIECE = 2000
"""Runs simulated at once: their state fits a core's cache."""

SCENARIOS = {s.name: s for s in (*HEALTHY, *FAULTY)}
FULL = ("ours 1 s", "ours 1 s, bursts cut")
OTHERS = 6000
"""Runs of a healthy scenario for all other rules: those of ours have to tell 1 % from 1.3 %."""

SLOW = {"Kayenta": 1000}
"""Runs of a rule that takes long."""


@dataclass(frozen=True)
class Piece:
    """A part of the work: one scenario, some rules, so many runs."""

    scenario: str
    rules: tuple[str, ...]
    runs: int
    seed: int


def pieces(scenario: Scenario, runs: int) -> Iterator[Piece]:
    """Our own rule in full; the others on the first pieces, where that is enough."""
    for number, first in enumerate(range(0, runs, PIECE)):
        rules = tuple(r for r in RULES if r in FULL or (first < OTHERS and r not in SLOW))
        seed = crc32(scenario.name.encode()) + 1000 * number
        yield Piece(scenario.name, rules, min(PIECE, runs - first), seed)
    yield Piece(scenario.name, tuple(SLOW), min(runs, *SLOW.values()), crc32(scenario.name.encode()))


def work(piece: Piece) -> tuple[Piece, dict[str, Outcome]]:
    """One part, in another process."""
    outcomes, _ = simulate(SCENARIOS[piece.scenario], piece.rules, piece.runs, piece.seed)
    return piece, outcomes


def replay(name: str, rule: str, runs: int) -> tuple[str, int, list[str]]:
    """So many runs of a scenario, simulator against product."""
    looks, found = check(SCENARIOS[name], RULES[rule], runs, crc32(name.encode()) % 10_000)
    return f"{name}, {rule}", looks, found


def replays(only: str, wanted: int) -> list[tuple[str, str, int]]:
    """The sampled runs, spread over all scenarios and ways of looking."""
    rules = ("ours 1 s", "ours 1 s, bursts cut", "ours 5 s")
    cases = [(name, rule) for name in SCENARIOS if only in name for rule in rules]
    each = ceil(wanted / max(1, len(cases)))
    return [(name, rule, each) for name, rule in cases]


def main(argv: list[str]) -> int:
    """Simulate, replay, write."""
    options = parse(argv)
    began = perf_counter()
    todo = [
        piece
        for name, s in SCENARIOS.items()
        if options.only in name
        for piece in pieces(s, options.healthy if s.healthy else options.faulty)
    ]
    results: dict[str, dict[str, list[Outcome]]] = {}
    with ProcessPoolExecutor(max_workers=2) as pool:
        for number, (piece, outcomes) in enumerate(pool.map(work, todo), 1):
            for rule, outcome in outcomes.items():
                results.setdefault(piece.scenario, {}).setdefault(rule, []).append(outcome)
            say(f"{number}/{len(todo)} {piece.scenario}", began)
        compared = list(pool.map(replay, *zip(*replays(options.only, options.replayed), strict=True)))
        say(f"{sum(c[1] for c in compared)} looks replayed", began)
    joined = {name: {rule: join(parts) for rule, parts in rules.items()} for name, rules in results.items()}
    seconds = perf_counter() - began
    used = getrusage(RUSAGE_CHILDREN)
    text = report.page(SCENARIOS, joined, compared, seconds, used.ru_utime + used.ru_stime)
    options.docs.mkdir(exist_ok=True)
    (options.docs / "judge-benchmark.md").write_text(text)
    (options.docs / "judge-benchmark.svg").write_text(report.chart(SCENARIOS, joined))
    missed = report.goals(SCENARIOS, joined, compared)
    print(json.dumps({"seconds": round(seconds), "goals missed": missed}, indent=2))
    return 1 if missed else 0


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--healthy", type=int, default=20_000)
    parser.add_argument("--faulty", type=int, default=6_000)
    parser.add_argument("--replayed", type=int, default=500, help="runs given to the product look by look")
    parser.add_argument("--only", default="")
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    return parser.parse_args(argv)


def join(parts: list[Outcome]) -> Outcome:
    """Pieces as one."""
    return Outcome(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("back", "bad", "end")))


def say(text: str, began: float) -> None:
    """Progress, on stderr."""
    print(f"{perf_counter() - began:6.0f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
