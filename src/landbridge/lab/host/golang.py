"""Small programs of our own in Go, built once and kept in the cache; they need nothing but Go's own library."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

from landbridge.errors import LandbridgeError
from landbridge.lab.host import programs
from landbridge.lab.host.programs import Say
from landbridge.lab.place import get_cache


async def build(source: Path, package: str, *, place: str, name: str, say: Say) -> Path:
    """The program `name` of a package in the module at `source`, under `place` in the cache; LandbridgeError."""
    target = get_cache() / place / _version(source) / name
    if target.exists():
        return target
    go = await programs.find_go(say)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_suffix(f".new{os.getpid()}")
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    process = await asyncio.create_subprocess_exec(
        *(go, "build", "-trimpath", "-o", str(fresh), package),
        cwd=source,
        env={**os.environ, **settings},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode:
        raise LandbridgeError(f"go build failed: {said.decode(errors='replace')[-800:]}", where=str(source))
    fresh.replace(target)
    return target


def _version(source: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
