"""What is said of splits that no runner stands behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from landbridge.model.journal import Phase, State
from landbridge.model.plan import Act, ActKind, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId
from landbridge.run import expiry
from landbridge.run.journal import Journal
from landbridge.run.status import read_status

WEB, CART = ServiceId("shop", "web"), ServiceId("shop", "cart")
NOON = 1_800_014_400.0  # 2027-01-15 12:00:00 UTC


def entry(service: ServiceId) -> ServicePlan:
    weight = Act(id=f"{service}/weight-5", kind=ActKind.WEIGHT, args={"percent": 5, "dwell": 60.0})
    return ServicePlan(service=service, acts=(weight, Act(id=f"{service}/finish", kind=ActKind.FINISH)))


PLAN = Plan(source="legacy", target="eks", waves=(Wave(name="wave-1", services=(entry(WEB), entry(CART))),))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.db") as book:
        yield book


def told(journal: Journal, plan: Plan = PLAN, now: float = NOON) -> str:
    found = expiry.find(journal, plan, read_status(journal, plan, now).rows)
    return found.told(now) if found else ""


def test_nothing_is_said_while_everything_is_home(journal: Journal) -> None:
    assert told(journal) == ""
    journal.advance(0, State(service=WEB, phase=Phase.ROLLED_BACK), NOON)
    finished = State(service=CART, phase=Phase.SOAKING, weight=100, done=(f"{CART}/finish",))
    journal.advance(0, finished, NOON)
    assert told(journal) == ""


def test_it_is_said_when_they_go_home_and_afterwards_that_they_went(journal: Journal) -> None:
    journal.advance(0, State(service=WEB, phase=Phase.HELD, weight=5), NOON)
    journal.put(expiry.GONE, NOON)
    assert told(journal, now=NOON + 1) == (
        "no runner is there: its lease runs out at 12:00:15 UTC, and these splits go home: shop/web (5 %); "
        "`landbridge run` goes on"
    )
    assert "ran out at 12:00:15 UTC, and these splits went home: shop/web (5 %)" in told(journal, now=NOON + 20)


def test_of_a_runner_that_died_nobody_knows_when(journal: Journal) -> None:
    journal.advance(0, State(service=WEB, phase=Phase.MOVING, weight=5), NOON)
    assert "has run out, or does within 15 s" in told(journal)


def test_splits_that_stay_are_watched_by_nobody(journal: Journal) -> None:
    journal.advance(0, State(service=WEB, phase=Phase.PAUSED, weight=5), NOON)
    staying = replace(PLAN, bounds=replace(PLAN.bounds, on_expiry="stay"))
    assert "stay as they are, and nobody watches them: shop/web (5 %)" in told(journal, staying)
