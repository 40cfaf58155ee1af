"""Background processes: each has a pid file, a log and the lab's mark, and is ended by its pid.

The child writes its own pid before it becomes the program, so not even a kill -9 of the starter loses track of it.
The mark (an environment variable, passed on to children) finds what a dead lab left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from landbridge.clock import Clock, DeadlineError, wait_for
from landbridge.errors import LandbridgeError
from landbridge.lab.host.command import in_netns
from landbridge.lab.place import MARK


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One background process of a lab. `folder` holds `log/<name>.log` and `<name>.pid`."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    mark: Path
    netns: str = ""
    owned: bool = False
    """Dies with the thread that started it (for tests); else it outlives it."""
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where its stdout and stderr go."""
        return self.folder / "log" / f"{self.name}.log"

    @property
    def pidfile(self) -> Path:
        """Where its pid stands."""
        return self.folder / f"{self.name}.pid"


LAZY = {"GOGC": "400"}
"""Go's collector waits until five times as much is in use: an API server spends a quarter less, in 400 MB more."""

_children: dict[int, subprocess.Popen[bytes]] = {}


def start(daemon: Daemon) -> None:
    """Start it, detached unless `owned`; returns when its pid file is written."""
    daemon.log.parent.mkdir(parents=True, exist_ok=True)
    daemon.pidfile.unlink(missing_ok=True)
    script = 'echo $$ $(cut -d" " -f22 /proc/$$/stat) > "$0.new" && mv "$0.new" "$0" && exec "$@"'
    netns = in_netns(daemon.netns) if daemon.netns else ()
    owned = ("setpriv", "--pdeathsig", "KILL") if daemon.owned else ()
    argv = ("sh", "-c", script, str(daemon.pidfile), *netns, *owned, *daemon.argv)
    env = {**os.environ, **LAZY, **daemon.env, MARK: str(daemon.mark)}
    with daemon.log.open("ab") as log:
        child = subprocess.Popen(
            argv if daemon.owned else ("setsid", "--fork", *argv),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd="/", start_new_session=daemon.owned,
        )  # fmt: skip
    if daemon.owned:
        _children[child.pid] = child
    else:
        child.wait()


def get_pid(pidfile: Path) -> int | None:
    """The pid of the running process that wrote this file, or None; a stranger with its pid began at another time."""
    try:
        pid, began = pidfile.read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if get_start(int(pid)) == began else None


def get_start(pid: int) -> str:
    """When a process began, in the kernel's ticks; tells it from a later one with the same pid. Empty: not running."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def is_running(daemon: Daemon) -> bool:
    """Whether it runs now."""
    return get_pid(daemon.pidfile) is not None


async def wait_ready(
    daemon: Daemon, ready: Callable[[], Awaitable[object]], *, within: float, clock: Clock, every: float = 0.05
) -> None:
    """Wait until `ready()` (async) is true; a process that ended meanwhile is an error with the end of its log."""

    async def ask() -> bool:
        if not daemon.pidfile.exists():
            return False
        if not is_running(daemon):
            raise LandbridgeError(f"{daemon.name} ended: {read_end(daemon.log)}", where=str(daemon.log))
        return bool(await ready())

    try:
        await wait_for(ask, what=f"{daemon.name} is ready", within=within, clock=clock, every=every)
    except DeadlineError as error:
        raise LandbridgeError(f"{error.what}: {read_end(daemon.log)}", where=str(daemon.log)) from error


def read_end(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


def find_marked(mark: Path) -> set[int]:
    """All processes that carry the mark, however they came to be; never ourselves."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for pid in _find_pids():
        try:
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and get_start(pid):
                found.add(pid)
        except OSError:
            continue
    return found


def find_in_netns(prefix: str) -> set[int]:
    """All processes in network namespaces whose name begins so: some programs write over their own environment."""
    folder = Path("/run/netns")
    names = [entry for entry in folder.iterdir() if entry.name.startswith(prefix)] if folder.exists() else []
    ours = {entry.stat().st_ino for entry in names}
    found = set()
    for pid in _find_pids() if ours else ():
        try:
            if Path(f"/proc/{pid}/ns/net").stat().st_ino in ours and get_start(pid):
                found.add(pid)
        except OSError:
            continue
    return found


def find_rooted(folder: Path) -> set[int]:
    """All processes whose root file system lies in this folder: containers, whatever cgroup they were put in.

    containerd puts them in `/k8s.io/<id>`, which names no lab, and once their shim is dead nobody else knows them.
    """
    found = set()
    for pid in _find_pids():
        try:
            mounts = Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:
            continue
        if any(is_root_in(line, folder) for line in mounts.splitlines()) and get_start(pid):
            found.add(pid)
    return found


def is_root_in(line: str, folder: Path) -> bool:
    """Whether a line of mountinfo (proc(5)) is the mount of `/` and an overlay of this folder."""
    fields = line.split(" ")
    return len(fields) > 5 and fields[4] == "/" and f"{folder}/" in fields[-1]


def _find_pids() -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid()]


def send(pids: Iterable[int], what: signal.Signals) -> None:
    """Signal each; those that are gone already are fine."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


async def stop(pids: Iterable[int], *, clock: Clock, grace: float = 3.0) -> None:
    """End processes: SIGTERM, `grace` seconds (0: not at all), SIGKILL; returns when they are gone."""
    began = {pid: get_start(pid) for pid in pids}
    rounds = ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)) if grace else ((signal.SIGKILL, 5.0),)
    for what, within in rounds:

        async def are_gone() -> bool:
            _reap()
            return not any(start and get_start(pid) == start for pid, start in began.items())

        send((pid for pid, start in began.items() if start and get_start(pid) == start), what)
        try:
            await wait_for(are_gone, what="processes are gone", within=within, clock=clock, every=0.02)
        except DeadlineError:
            continue
        return


def _reap() -> None:
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            del _children[pid]
