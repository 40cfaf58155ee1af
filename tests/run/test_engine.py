"""The engine over a world in files: kills, edited plans, commands, a lost engine.db, a newer version, a full disk."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from landbridge.clock import SystemClock
from landbridge.model.journal import Outcome, Phase, What
from landbridge.model.service import ServiceId
from landbridge.run.journal import Journal
from tests.run import world

ROOT = Path(__file__).parents[2]


def start(folder: Path, pause: float = 0.05, module: str = "tests.run.world") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, str(folder), str(pause)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    phases: dict[str, str] = json.loads(out)
    return phases


def effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().splitlines() if path.exists() else []


def journal(folder: Path) -> Journal:
    return Journal(folder / ".landbridge" / "journal.db")


def wait_for_effect(folder: Path, line: str, process: subprocess.Popen[str]) -> None:
    async def seen() -> bool:
        assert process.poll() is None, process.communicate()
        return line in effects(folder)

    async def wait() -> None:
        clock = SystemClock()
        end = clock.monotonic() + 60
        while not await seen():
            assert clock.monotonic() < end, effects(folder)
            await clock.sleep(0.02)

    asyncio.run(wait())


def raises(folder: Path) -> list[str]:
    """Changes of weight upwards, as `s0 5->50`."""
    changes = [line for line in effects(folder) if "->" in line]
    return [c for c in changes if int(c.split()[1].split("->")[0]) < int(c.split("->")[1])]


async def test_a_plan_is_carried_out_in_waves(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(3))
    phases = await world.carry(tmp_path)
    assert set(phases.values()) == {"done"}
    lines = effects(tmp_path)
    first_move = min(i for i, line in enumerate(lines) if line.endswith("/pin"))
    assert max(i for i, line in enumerate(lines) if line.endswith("/split")) < first_move
    assert (tmp_path / "journal.jsonl").read_text().count("\n") == len(journal(tmp_path).entries())
    assert (tmp_path / ".landbridge" / ".gitignore").read_text() == "*\n"


def test_four_kills_within_one_run(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(3, weights=(1, 5, 10, 25, 50, 75, 95, 100)))
    chance = random.Random(7)
    for _ in range(4):  # twenty are killed on pods, in test_kills.py
        process = start(tmp_path)
        before = len(effects(tmp_path))
        with until_lines(process, before + chance.randint(1, 5), tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert set(finish(start(tmp_path, 0.0)).values()) == {"done"}
    assert [world.weight(tmp_path, f"s{i}") for i in range(3)] == [100] * 3
    assert max(Counter(raises(tmp_path)).values()) == 1
    assert len(raises(tmp_path)) == 3 * 8


@contextmanager
def until_lines(process: subprocess.Popen[str], lines: int, folder: Path) -> Iterator[None]:
    """Wait until the world has so many lines, or the runner has ended."""

    async def wait() -> None:
        clock = SystemClock()
        end = clock.monotonic() + 60
        while len(effects(folder)) < lines and process.poll() is None and clock.monotonic() < end:
            await clock.sleep(0.005)

    asyncio.run(wait())
    yield


def test_a_killed_rollback_goes_on(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(2))
    (tmp_path / "s0.broken").touch()
    process = start(tmp_path, 0.3)
    wait_for_effect(tmp_path, "undo shop/s0/weight-5", process)
    process.kill()
    process.communicate()
    assert finish(start(tmp_path, 0.01)) == {"shop/s0": "rolled back", "shop/s1": "done"}
    assert world.weight(tmp_path, "s0") == 0
    undone = [e.act for e in journal(tmp_path).entries(ServiceId("shop", "s0")) if e.outcome is Outcome.UNDONE]
    assert undone == ["shop/s0/weight-5", "shop/s0/pin"]


async def test_what_was_rolled_back_is_tried_again_by_the_next_run(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(1))
    (tmp_path / "s0.broken").touch()
    assert await world.carry(tmp_path) == {"shop/s0": "rolled back"}
    (tmp_path / "s0.broken").unlink()
    assert await world.carry(tmp_path) == {"shop/s0": "done"}
    head = journal(tmp_path).state(ServiceId("shop", "s0"))
    assert head is not None
    assert head[1].attempt == 2
    assert await world.carry(tmp_path) == {"shop/s0": "done"}


def test_an_edited_plan_is_obeyed(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(1, weights=(5, 50, 100)))
    process = start(tmp_path, 0.4)
    wait_for_effect(tmp_path, "do shop/s0/weight-5", process)
    world.write(tmp_path, world.plan(1, weights=(1, 5, 25, 100)))
    assert finish(process) == {"shop/s0": "done"}
    assert raises(tmp_path) == ["s0 0->5", "s0 5->25", "s0 25->100"]


def test_commands_reach_a_running_run(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(2))
    process = start(tmp_path, 1.0)
    wait_for_effect(tmp_path, "do shop/s0/weight-5", process)
    with journal(tmp_path) as book:
        book.command(What.ROLLBACK, ServiceId("shop", "s0"), "ada", 1.0)
        book.command(What.PAUSE, ServiceId("shop", "s1"), "ada", 2.0)
    assert finish(process) == {"shop/s0": "rolled back", "shop/s1": "paused"}
    with journal(tmp_path) as book:
        book.command(What.RESUME, None, "ada", 3.0)
    assert finish(start(tmp_path, 0.0)) == {"shop/s0": "done", "shop/s1": "done"}


async def test_a_rollback_after_the_end_and_across_again(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(1))
    await world.carry(tmp_path)
    with journal(tmp_path) as book:
        book.command(What.ROLLBACK, None, "ada", 1.0)
    assert await world.carry(tmp_path) == {"shop/s0": "rolled back"}
    undone = [line.split("/")[-1] for line in effects(tmp_path) if line.startswith("undo")]
    assert undone == ["unpin", "scale", "finish", "weight-100", "pin"]
    assert world.weight(tmp_path, "s0") == 0
    assert await world.carry(tmp_path) == {"shop/s0": "done"}
    assert world.weight(tmp_path, "s0") == 100


def test_a_lost_engine_is_built_again_from_the_journal(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(2))
    process = start(tmp_path, 0.3)
    wait_for_effect(tmp_path, "do shop/s0/weight-50", process)
    process.kill()
    process.communicate()
    for file in (tmp_path / ".landbridge").glob("engine.db*"):
        file.unlink()
    assert set(finish(start(tmp_path, 0.0)).values()) == {"done"}
    assert len(raises(tmp_path)) == 6


def test_a_newer_version_with_one_more_step_goes_on(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(2))
    process = start(tmp_path, 0.5)
    wait_for_effect(tmp_path, "do shop/s0/weight-5", process)
    process.kill()
    process.communicate()
    assert set(finish(start(tmp_path, 0.0, module="tests.run.newer")).values()) == {"done"}
    assert len(raises(tmp_path)) == 6


def test_a_second_runner_is_told_who_runs(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(1))
    first = start(tmp_path, 1.0)
    wait_for_effect(tmp_path, "do shop/s0/weight-5", first)
    second = start(tmp_path)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 4
    assert f"process {first.pid} on" in err
    assert finish(first) == {"shop/s0": "done"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_the_run_and_it_resumes(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(small)], check=True)
    try:
        world.write(small, world.plan(2))
        process = start(small, 0.3)
        wait_for_effect(small, "do shop/s0/weight-5", process)
        ballast = small / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(b"x" * 4096)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert "make room" in err
        assert "Traceback" not in err
        ballast.unlink()
        assert set(finish(start(small, 0.0)).values()) == {"done"}
        assert max(Counter(raises(small)).values()) == 1
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_journal_has_a_line_before_and_after_every_act(tmp_path: Path) -> None:
    world.write(tmp_path, world.plan(1))
    assert finish(start(tmp_path, 0.0)) == {"shop/s0": "done"}
    with journal(tmp_path) as book:
        for act in {e.act for e in book.entries()}:
            assert [e.outcome for e in book.entries(act=act)] == [Outcome.STARTED, Outcome.DONE]
        assert book.states()[ServiceId("shop", "s0")][1].phase is Phase.DONE
    with sqlite3.connect(tmp_path / ".landbridge" / "engine.db") as database:
        states = database.execute("SELECT DISTINCT status FROM workflow_status").fetchall()
    database.close()
    assert states == [("SUCCESS",)]
