"""The judge's benchmark: its simulator is the product, its traffic is what the names say, its page is written."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from benchmarks.judge.__main__ import SCENARIOS, main
from benchmarks.judge.check import check
from benchmarks.judge.scenarios import FAULTY, HEALTHY
from benchmarks.judge.simulate import RULES, simulate
from benchmarks.judge.traffic import RAMP, Scenario, divide, second

from landbridge.judge import power


@pytest.mark.parametrize("rule", ["ours 1 s", "ours 1 s, bursts cut", "ours 5 s", "ours 15 s"])
@pytest.mark.parametrize(
    "name", ["2 requests/s, 1 %", "0.5 %", "a third of the looks lost", "x1.5 slower", "drifting base, 0.04 to 1 %"]
)
def test_the_simulator_equals_the_product_look_by_look(name: str, rule: str) -> None:
    looks, differences = check(SCENARIOS[name], RULES[rule], 2, seed=5)
    assert looks > 10
    assert differences == []


def test_the_replay_finds_a_simulator_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.judge.ours.HOLD_ABOVE", 50.0)
    _, differences = check(SCENARIOS["1 %"], RULES["ours 1 s"], 10, seed=5)
    assert differences


@pytest.mark.parametrize("scenario", [*HEALTHY, *FAULTY], ids=lambda s: s.name)
def test_traffic_is_what_the_scenario_says(scenario: Scenario) -> None:
    s, t, runs = scenario, 450, 4000
    arms = divide(second(s, t, runs, np.random.default_rng(3)), np.full(runs, RAMP.index(50)))
    n_new, n_old = arms.n_new.sum(), arms.n_old.sum()
    assert n_new / (n_new + n_old) == pytest.approx(0.5 * s.share, rel=0.05)
    assert (n_new + n_old) / runs == pytest.approx(s.rate, rel=0.06)
    assert (arms.bad_new <= arms.n_new).all()
    largest = max(size for size, _ in s.sizes)
    for bad, n, chance in ((arms.bad_new, n_new, s.new(t)), (arms.bad_old, n_old, s.old(t))):
        assert bad.sum() / n == pytest.approx(chance, abs=6 * sqrt(largest * chance / n))


def test_the_bet_that_knows_the_ratio_is_near_the_bound_and_ours_is_near_it() -> None:
    outcomes, _ = simulate(SCENARIOS["1 %"], ("knows the ratio", "ours 1 s"), 400, seed=2)
    star = power.b_star(10.0)
    assert 1.0 < outcomes["knows the ratio"].bad.mean() / star < 1.6
    assert outcomes["ours 1 s"].bad.mean() / star < 1.75


def test_the_page_and_the_chart_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--healthy", "24", "--faulty", "12", "--replayed", "4", "--only", "5 %", "--docs", str(tmp_path)])
    assert code in {0, 1}
    assert "goals missed" in json.loads(capsys.readouterr().out)
    page = (tmp_path / "judge-benchmark.md").read_text()
    assert all(f"| 0.5 % | {rule} |" in page for rule in RULES)
    assert "| both noisy, 1.5 % |" in page
    assert "sampled runs were given to `landbridge.judge`" in page
    ET.parse(tmp_path / "judge-benchmark.svg")
