"""Takes away the mounts below a folder: pods' volumes and roots that a dead kubelet or containerd left."""

from __future__ import annotations

from pathlib import Path

from landbridge.lab.host.command import run


def find(folders: tuple[Path, ...], table: str) -> list[str]:
    r"""Mount points below the folders, innermost first, from the text of /proc/mounts (blanks are \040 there)."""
    points = [line.split()[1].replace("\\040", " ") for line in table.splitlines() if line]
    below = [p for p in points if any(p == str(f) or p.startswith(f"{f}/") for f in folders)]
    return sorted(below, reverse=True)


async def remove(folders: tuple[Path, ...]) -> None:
    """Unmount all below the folders."""
    points = find(folders, Path("/proc/mounts").read_text())
    for start in range(0, len(points), 100):
        await run("umount", "-l", *points[start : start + 100], check=False)
