"""What `lab status` tells: which labs there are, what runs in them, since when, with which memory, and their logs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from landbridge.lab import state as states
from landbridge.lab.clear import find_pods
from landbridge.lab.host import processes
from landbridge.lab.state import LabState


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One background process: where it belongs, whether it runs, its memory in bytes (0: not running), its log."""

    part: str
    name: str
    pid: int
    memory: int
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabStatus:
    """One lab; `pods` is the memory of everything in its pods' cgroups, in bytes."""

    index: int
    phase: str
    since: float
    owner: int
    clusters: tuple[str, ...]
    kubeconfig: str
    processes: tuple[ProcessStatus, ...]
    pods: int

    @property
    def memory(self) -> int:
        """All of it, in bytes."""
        return self.pods + sum(process.memory for process in self.processes)


def get_status(state: LabState) -> LabStatus:
    """How a lab is now."""
    pods = find_pods(state.site)
    return LabStatus(
        index=state.index,
        phase="abandoned" if state.is_abandoned else state.phase,
        since=state.since,
        owner=state.owner,
        clusters=state.clusters,
        kubeconfig=str(state.site.kubeconfig),
        processes=tuple(_find_processes(state.site.folder)),
        pods=sum(get_memory(pid) for pid in pods),
    )


def get_all() -> list[LabStatus]:
    """How all labs of this machine are now."""
    return [get_status(state) for state in states.find_all()]


def _find_processes(folder: Path) -> Iterator[ProcessStatus]:
    for pidfile in sorted(folder.rglob("*.pid")):
        pid = processes.get_pid(pidfile) or 0
        yield ProcessStatus(
            part=str(pidfile.parent.relative_to(folder)),
            name=pidfile.stem,
            pid=pid,
            memory=get_memory(pid) if pid else 0,
            log=str(pidfile.parent / "log" / f"{pidfile.stem}.log"),
        )


def get_memory(pid: int) -> int:
    """A process' share of the machine's memory in bytes: what it maps alone, and its part of what others map too."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)
