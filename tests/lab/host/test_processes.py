"""Background processes are known by a pid that cannot be mistaken, and end when they are told to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from landbridge.clock import SystemClock, wait_for
from landbridge.errors import LandbridgeError
from landbridge.lab.host import processes
from landbridge.lab.host.processes import Daemon


async def _start(folder: Path, *argv: str) -> Daemon:
    daemon = Daemon(name="it", argv=argv, folder=folder, mark=folder)
    processes.start(daemon)

    async def has_pid() -> bool:
        return daemon.pidfile.exists()

    await wait_for(has_pid, what="the pid file is written", within=10, clock=SystemClock())
    return daemon


async def test_it_outlives_its_starter_and_is_ended_by_its_pid(tmp_path: Path) -> None:
    daemon = await _start(tmp_path, "sleep", "100")
    pid = processes.get_pid(daemon.pidfile)
    assert pid
    assert os.getsid(pid) != os.getsid(0)
    assert processes.find_marked(tmp_path) == {pid}
    await processes.stop([pid], clock=SystemClock())
    assert processes.get_pid(daemon.pidfile) is None
    assert not processes.find_marked(tmp_path)


async def test_what_ignores_a_polite_end_is_killed(tmp_path: Path) -> None:
    daemon = await _start(tmp_path, "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")

    async def is_deaf() -> bool:
        return "ready" in daemon.log.read_text()

    await wait_for(is_deaf, what="the trap is set", within=10, clock=SystemClock())
    await processes.stop(processes.find_marked(tmp_path), clock=SystemClock(), grace=0.2)
    assert not processes.is_running(daemon)


async def test_a_stranger_with_the_same_pid_is_not_ours(tmp_path: Path) -> None:
    pidfile = tmp_path / "it.pid"
    pidfile.write_text(f"{os.getpid()} 1")
    assert processes.get_pid(pidfile) is None
    pidfile.write_text(f"{os.getpid()} {processes.get_start(os.getpid())}")
    assert processes.get_pid(pidfile) == os.getpid()


async def test_the_end_of_the_log_says_why_it_did_not_start(tmp_path: Path) -> None:
    daemon = await _start(tmp_path, "sh", "-c", "echo no such luck >&2; exit 3")

    async def never() -> bool:
        return False

    with pytest.raises(LandbridgeError, match="no such luck"):
        await processes.wait_ready(daemon, never, within=10, clock=SystemClock())


def test_root_of_a_container_is_known_by_its_overlay() -> None:
    folder = Path("/var/lab/run/5")
    overlay = f"rw,lowerdir=/x,upperdir={folder}/eks/containerd/snapshots/7/fs,workdir={folder}/eks/work"
    assert processes.is_root_in(f"501 480 0:77 / / rw,relatime - overlay overlay {overlay}", folder)
    assert not processes.is_root_in(f"501 480 0:77 / /run/x/rootfs rw,relatime - overlay overlay {overlay}", folder)
    assert not processes.is_root_in(f"501 480 0:77 / / rw - overlay overlay {overlay.replace('/5/', '/55/')}", folder)
    assert not processes.is_root_in("501 480 254:0 / / rw,relatime - ext4 /dev/vda rw", folder)
