"""`landbridge retire`: what it shows of what it finds, its exit codes, and that it never acts without --yes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from landbridge.clock import SystemClock
from landbridge.errors import Exit
from landbridge.model.service import ServiceId
from landbridge.observe.callers import Callers
from landbridge.run import retire as retiring
from landbridge.run.carrier import only_runner
from landbridge.run.journal import FOLDER
from landbridge.run.leftovers import Left
from tests.cli.conftest import Command


def left(name: str, **more: Any) -> Left:
    known: dict[str, Any] = {"adopted": True, "objects": (f"Deployment {name}, 0 replicas",), "callers": Callers()}
    return Left(service=ServiceId("shop", name), **known | more)


FREE = left("web")
CALLED = left("cart", callers=Callers(requests=12, open=3), refusals=("law 1: called 12 times",))
DARK = left("payments", callers=Callers(unknown="no waypoint is running"), refusals=("law 7: not known",))
OUT = left("old", adopted=False, callers=None)
STAYS = left("legacy-only", callers=None, stays=True)
SPACE = Left(service=ServiceId("shop", "*"), adopted=False, objects=("CronJob report, suspended",))


class Finds:
    """What a look finds, and which of the two was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *found: Left) -> None:
        self.found, self.asked, self.seconds = list(found), "", 0.0
        monkeypatch.setattr(retiring, "look", self.look)
        monkeypatch.setattr(retiring, "retire", self.act)

    async def look(self, *_: Any, seconds: float, **__: Any) -> list[Left]:
        self.asked, self.seconds = "look", seconds
        return self.found

    async def act(self, *_: Any, **__: Any) -> list[Left]:
        self.asked = "act"
        return self.found


def test_the_table_says_who_may_go_and_why_not(begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    finds = Finds(monkeypatch, FREE, CALLED, DARK, OUT, STAYS, SPACE)
    ended = command("retire", "--for", "2m")
    assert (ended.code, finds.asked, finds.seconds) == (Exit.BLOCKED, "look", 120)
    rows = {line.split()[0]: line for line in ended.out.splitlines()}
    assert "CALLS IN 120 S" in rows["SERVICE"]
    assert rows["shop/web"].split()[-3:] == ["0", "0", "yes"]
    assert "no: law 1: called 12 times" in rows["shop/cart"]
    assert " ? " in rows["shop/payments"]
    assert "out of the path" in rows["shop/old"]
    assert "stays, by the plan" in rows["shop/legacy-only"]
    assert "CronJob report, suspended" in rows["shop/*"]
    assert "1 services may go; next: landbridge retire --yes" in ended.err


def test_json_has_all_of_it(begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Finds(monkeypatch, FREE, CALLED, SPACE)
    free, called, _ = command("retire", "-o", "json").json
    assert (free["service"], free["may_go"], called["may_go"]) == ("shop/web", True, False)
    assert called["callers"] == {"requests": 12, "open": 3, "unknown": ""}


def test_when_nothing_is_held_it_is_done(begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    Finds(monkeypatch, OUT, SPACE)
    ended = command("retire")
    assert ended.code == Exit.DONE
    assert "then: landbridge disconnect" in ended.err


@pytest.mark.parametrize(("more", "asked"), [([], "look"), (["--yes"], "act"), (["--yes", "--dry-run"], "look")])
def test_it_acts_only_when_told(
    begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch, more: list[str], asked: str
) -> None:
    finds = Finds(monkeypatch, FREE)
    command("retire", *more)
    assert finds.asked == asked


def test_not_beside_a_runner(begun: Path, command: Command) -> None:
    with only_runner(begun / FOLDER, SystemClock()):
        ended = command("retire", "--yes")
    assert ended.code == Exit.DRIFT
    assert "another runner carries this plan out" in ended.err
