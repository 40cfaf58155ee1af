"""Only mounts below the lab's own folders are found, innermost first."""

from __future__ import annotations

from pathlib import Path

from landbridge.lab.host.mounts import find

TABLE = """\
overlay /lab/1/rootfs overlay rw 0 0
proc /lab/1/rootfs/proc proc rw 0 0
tmpfs /lab/10/vol tmpfs rw 0 0
tmpfs /lab/1/a\\040b tmpfs rw 0 0
"""


def test_innermost_first_and_no_others() -> None:
    assert find((Path("/lab/1"),), TABLE) == ["/lab/1/rootfs/proc", "/lab/1/rootfs", "/lab/1/a b"]
