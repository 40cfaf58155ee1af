"""One scenario, all rules, many runs, in pieces that fit a core's cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.judge.ours import Ours
from benchmarks.judge.rule import Rule
from benchmarks.judge.rules import Argo, Flagger, Kayenta, SingleBet
from benchmarks.judge.traffic import RAMP, Floats, Scenario, second
from landbridge.judge.bursts import Bursts
from landbridge.judge.state import Settings

LONGEST = 60 * 5 * (len(RAMP) + 1)

Maker = Callable[[Scenario, int, int], Rule]


def ours(look: int, bursts: Bursts, name: str) -> Maker:
    """The judge with one way of counting and one distance of looks."""
    settings = Settings(bursts=bursts)
    return lambda scenario, runs, seed: Ours(name, scenario, runs, seed, look=look, settings=settings)


RULES: dict[str, Maker] = {
    "ours 1 s": ours(1, Bursts.REQUEST, "ours 1 s"),
    "ours 1 s, bursts cut": ours(1, Bursts.CAP, "ours 1 s, bursts cut"),
    "ours 5 s": ours(5, Bursts.REQUEST, "ours 5 s"),
    "ours 15 s": ours(15, Bursts.REQUEST, "ours 15 s"),
    "knows the ratio": lambda s, n, seed: SingleBet("knows the ratio", s, n, seed),
    "Flagger, threshold 5": lambda s, n, seed: Flagger("Flagger, threshold 5", s, n, seed, limit=5),
    "Flagger, threshold 1": lambda s, n, seed: Flagger("Flagger, threshold 1", s, n, seed, limit=1),
    "Argo, failureLimit 3": lambda s, n, seed: Argo("Argo, failureLimit 3", s, n, seed, limit=3),
    "Argo, failureLimit 0": lambda s, n, seed: Argo("Argo, failureLimit 0", s, n, seed, limit=0),
    "Kayenta": lambda s, n, seed: Kayenta("Kayenta", s, n, seed),
}


@dataclass(frozen=True)
class Outcome:
    """What one rule did with each run."""

    back: Floats
    bad: Floats
    end: Floats


def simulate(
    scenario: Scenario, names: Sequence[str], runs: int, seed: int, *, longest: int = LONGEST
) -> tuple[dict[str, Outcome], list[Rule]]:
    """All rules over the same `runs` runs; the rules too, for the replay."""
    rng = np.random.default_rng(seed)
    rules = [RULES[name](scenario, runs, seed + 1 + i) for i, name in enumerate(names)]
    return follow(scenario, rules, runs, rng, longest=longest), rules


def follow(
    scenario: Scenario, rules: Sequence[Rule], runs: int, rng: np.random.Generator, *, longest: int = LONGEST
) -> dict[str, Outcome]:
    """Second after second until every rule is through with every run."""
    alive, t = runs, 0
    while alive and t < longest:
        t += 1
        s = second(scenario, t, alive, rng)
        for rule in rules:
            if not rule.over.all():
                rule.second(t, s)
        going = ~np.logical_and.reduce([rule.over for rule in rules])
        if going.sum() < 0.7 * alive:
            keep = np.flatnonzero(going)
            for rule in rules:
                rule.keep(keep)
            alive = len(keep)
    for rule in rules:
        rule.end[rule.ids[~rule.over]] = t
    return {rule.name: Outcome(rule.back, rule.bad, rule.end) for rule in rules}
