"""`status` and `explain` where no runner is there: what the splits do without it."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
import yaml

from landbridge.cli import watching
from landbridge.clock import SystemClock
from landbridge.errors import DriftError
from landbridge.run import runner
from landbridge.run.journal import FOLDER
from tests.cli.conftest import Command


def test_what_a_split_does_without_a_runner_is_said(begun: Path, command: Command) -> None:
    said = "no runner is there: its lease has run out, or does within 15 s, and these splits go home: shop/web (25 %)"
    assert said in command("status").out
    assert command("status", "-o", "json").json["left_alone"].startswith(said)
    assert said in command("explain", "web").out
    assert command("explain", "cart", "-o", "json").json["left_alone"] == ""


def test_nothing_of_that_is_said_while_a_runner_is_there(begun: Path, command: Command) -> None:
    with (begun / FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "no runner is there" not in command("status").out
        assert command("explain", "web", "-o", "json").json["left_alone"] == ""


def test_a_run_that_ends_says_it_and_one_that_another_runner_stopped_does_not(
    begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[type[BaseException]] = [KeyboardInterrupt, DriftError]

    async def ends(*_: object, **__: object) -> None:
        raise ended.pop(0)("another runner is at work")

    monkeypatch.setattr(runner, "run", ends)
    interrupted = command("run", "--yes")
    assert interrupted.code == 130
    assert "these splits go home: shop/web (25 %)" in interrupted.err
    assert "these splits" not in command("run", "--yes").err


def test_watching_as_yaml_is_one_document_after_the_other(
    begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Three(SystemClock):
        left = 3

        async def sleep(self, seconds: float) -> None:
            Three.left -= 1
            if not Three.left:
                raise KeyboardInterrupt

    monkeypatch.setattr(watching, "SystemClock", Three)
    ended = command("status", "--watch", "-o", "yaml")
    assert ended.code == 130
    assert [len(one["services"]) for one in yaml.safe_load_all(ended.out)] == [4, 4, 4]
