"""The Debian packages that the lab needs beside its own programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from landbridge.errors import LandbridgeError
from landbridge.lab.host.command import run
from landbridge.lab.host.programs import Say

CNI = Path("/usr/lib/cni")
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ethtool": "ethtool",
    "socat": "socat",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
STORE = {"redis-server": "redis-server", "/usr/lib/postgresql": "postgresql"}
SHELL = {"busybox": "busybox-static"}
"""A shell for the images; they do without where it cannot be had."""


def find_missing(needed: dict[str, str]) -> list[str]:
    """The packages whose program (a name on PATH or an absolute path) is not there."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return sorted(
        package
        for program, package in needed.items()
        if not (Path(program).exists() if program.startswith("/") else shutil.which(program, path=search))
    )


async def provide(needed: dict[str, str], *, say: Say) -> None:
    """Install what is missing with apt-get. Raises LandbridgeError that names the packages where that cannot be."""
    missing = find_missing(needed)
    if not missing:
        return
    names = " ".join(missing)
    if not shutil.which("apt-get"):
        raise LandbridgeError(
            f"the lab needs programs of these packages: {names} (Debian's names)",
            advice="install them with this machine's package manager",
        )
    say(f"installing {names}")
    # a database of the distribution's own must not start: RUNLEVEL=1 makes invoke-rc.d leave services alone
    env = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    await run("apt-get", "update", "-qq", env=env)
    await run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=env)


def check_root() -> None:
    """Raise LandbridgeError unless we are root, which namespaces, mounts and containerd need."""
    if os.geteuid() != 0:
        raise LandbridgeError("the lab has to run as root", advice="run it again with sudo, or in a machine of its own")
