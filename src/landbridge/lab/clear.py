"""Takes a lab away, alive or dead: everything that carries its mark or its name, and nothing else.

The order matters: programs that would start things again first, then pods, then mounts, namespaces and folders.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from landbridge.clock import Clock, DeadlineError, wait_for
from landbridge.errors import LandbridgeError
from landbridge.lab import state as states
from landbridge.lab.host import cgroups, limits, mounts, network, processes
from landbridge.lab.place import Site, get_kept_limit

_LATE = ("containerd",)
"""Programs whose children others still end: shims before kubelet are started again by nobody, but fail pods loudly."""


async def clear(site: Site, *, clock: Clock) -> None:
    """End all processes of a lab and remove its mounts, namespaces, cgroups and folders; safe to repeat."""
    containers = [path.name for path in site.run.glob("*/io.containerd.runtime.v2.task/k8s.io/*")]
    early = [pid for pid in _find(site) if not _is_late(pid)]
    await processes.stop(early, clock=clock, grace=0)
    await _end_pods(site, clock)
    await processes.stop(_find(site), clock=clock, grace=0)
    await mounts.remove((site.folder, site.run))
    await network.remove(site)
    cgroups.remove(site.prefix)
    cgroups.remove_containers(containers)
    for folder in (site.folder, site.run):
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    if not states.find_indexes():
        limits.restore_inotify(get_kept_limit())
    left = find_remains(site)
    if left:
        raise LandbridgeError(f"lab {site.index} left behind: {', '.join(left)}", advice="`landbridge lab down` again")


def keep_logs(site: Site, folder: Path) -> Path:
    """Copy the logs of a lab that could not start, in place of those of the last one that could not."""
    shutil.rmtree(folder, ignore_errors=True)
    for log in site.folder.rglob("*.log"):
        target = folder / log.relative_to(site.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, target)
    return folder


def find_remains(site: Site) -> list[str]:
    """All that is there of a lab: processes, mounts, namespaces, interfaces, cgroups, folders."""
    points = mounts.find((site.folder, site.run), Path("/proc/mounts").read_text())
    return [
        *(f"process {pid}" for pid in sorted(_find(site))),
        *(f"mount {point}" for point in points),
        *network.find(site),
        *(f"cgroup {path}" for path in cgroups.find(site.prefix)),
        *(f"folder {folder}" for folder in (site.folder, site.run) if folder.exists()),
    ]


def _find(site: Site) -> set[int]:
    return processes.find_marked(site.folder) | processes.find_in_netns(f"{site.prefix}-") | find_pods(site)


def find_pods(site: Site) -> set[int]:
    """All processes in a lab's pods."""
    return cgroups.find_pids(site.prefix) | processes.find_rooted(site.folder)


def _is_late(pid: int) -> bool:
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return False
    return name.startswith(_LATE)


async def _end_pods(site: Site, clock: Clock) -> None:
    """Kill until nothing is left: what a shim was just starting appears after the first round."""

    async def are_gone() -> bool:
        processes.send(find_pods(site), signal.SIGKILL)
        return not find_pods(site)

    try:
        await wait_for(are_gone, what="pods are gone", within=5, clock=clock, every=0.02)
    except DeadlineError:
        return
