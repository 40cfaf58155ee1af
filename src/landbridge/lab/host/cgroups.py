"""The cgroup that a node's pods live in, for both versions of cgroups."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from landbridge.errors import LandbridgeError

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS_V2 = ("cpu", "cpuset", "io", "memory", "pids")


def is_v2(root: Path = ROOT) -> bool:
    """Whether the machine has the unified hierarchy alone."""
    return (root / "cgroup.controllers").exists()


def make(name: str, root: Path = ROOT) -> None:
    """Make the cgroup in every hierarchy.

    Version 1: an empty cpuset takes no process, so it is filled from its parent's before kubelet starts.
    Version 2: the parent has to hand its controllers down.
    """
    if is_v2(root):
        _make_v2(name, root)
        return
    for hierarchy in _hierarchies(root):
        (hierarchy / name).mkdir(exist_ok=True)
    for file in ("cpuset.cpus", "cpuset.mems"):
        source = root / "cpuset" / file
        if source.exists():
            (root / "cpuset" / name / file).write_text(source.read_text())


def _make_v2(name: str, root: Path) -> None:
    offered = (root / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{c}" for c in CONTROLLERS_V2 if c in offered)
    try:
        (root / "cgroup.subtree_control").write_text(wanted)
        (root / name).mkdir(exist_ok=True)
        (root / name / "cgroup.subtree_control").write_text(wanted)
    except OSError as error:
        raise LandbridgeError(
            f"cgroup v2 does not hand its controllers down: {error}",
            where=str(root),
            advice="in a container, give it an own cgroup namespace and move its processes out of the root cgroup",
        ) from error


def _hierarchies(root: Path) -> list[Path]:
    if is_v2(root):
        return [root]
    return [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink() and entry.name != "unified"]


def favour_pods(root: Path = ROOT) -> None:
    """Give the pods of all labs together the weight of four ordinary sessions.

    containerd makes one cgroup `k8s.io` for them, which weighs as much as one session, and a container that asks for
    a few millicores has next to nothing of that: on a busy machine the shop then fails by itself. Eight was too much:
    API servers and kubelets, each a session, then answered after seconds.
    """
    file, weight = ("cpu.weight", "400") if is_v2(root) else ("cpu/k8s.io/cpu.shares", "4096")
    path = root / "k8s.io" / file if is_v2(root) else root / file
    with contextlib.suppress(OSError):  # without it the lab works, only worse when the machine is busy
        path.parent.mkdir(exist_ok=True)
        path.write_text(weight)


def favour_session(leader: int, proc: Path = Path("/proc")) -> None:
    """Give a session the weight of nine: `landbridge run` has a machine of its own where it is used in earnest.

    Beside two clusters that are busy with 409 services it got an eighth of a core and waited for the rest, so each of
    its requests took a second.
    """
    with contextlib.suppress(OSError):  # a kernel without autogroups, or not root: it works, only slower
        (proc / str(leader) / "autogroup").write_text("-10")


def remove_containers(ids: Iterable[str], root: Path = ROOT) -> None:
    """Remove the cgroups of containers that were killed: runc, which would have done it, was killed with them.

    containerd puts them below `k8s.io`, which labs share; it goes with the last one.
    """
    for hierarchy in _hierarchies(root):
        for folder in (*(hierarchy / "k8s.io" / one for one in ids), hierarchy / "k8s.io"):
            with contextlib.suppress(OSError):
                folder.rmdir()


def find_pids(prefix: str, root: Path = ROOT) -> set[int]:
    """All processes in cgroups of this prefix: the pods of a lab."""
    pids: set[int] = set()
    for hierarchy in _hierarchies(root):
        for file in hierarchy.glob(f"{prefix}-*/**/cgroup.procs"):
            with contextlib.suppress(OSError):
                pids |= {int(line) for line in file.read_text().split()}
    return pids


def find(prefix: str, root: Path = ROOT) -> list[Path]:
    """The outermost cgroups of this prefix."""
    return sorted(top for hierarchy in _hierarchies(root) for top in hierarchy.glob(f"{prefix}-*"))


def remove(prefix: str, root: Path = ROOT) -> None:
    """Remove the cgroups of this prefix, innermost first; safe to repeat."""
    for top in find(prefix, root):
        folders = [entry for entry in top.rglob("*") if entry.is_dir()]
        for folder in (*sorted(folders, reverse=True), top):
            with contextlib.suppress(OSError):
                folder.rmdir()
