"""Runs one short command and says what went wrong in the command's own words."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

from landbridge.errors import LandbridgeError
from landbridge.lab.place import MARK

marked: ContextVar[Path | None] = ContextVar("marked", default=None)
"""The lab that commands are run for: they carry its mark, so that even a copy under way ends with a killed starter."""


async def run(*argv: str, stdin: bytes = b"", check: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed.

    Raises LandbridgeError with the command and the end of its stderr when it fails and `check` is on.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **_get_mark(), **(env or {})},
        )
    except FileNotFoundError as error:
        raise LandbridgeError(
            f"the program {argv[0]} is missing", advice="install it, or run as root on Debian, where the lab does"
        ) from error
    out, err = await process.communicate(stdin)
    if check and process.returncode:
        said = err.decode(errors="replace").strip()[-800:]
        raise LandbridgeError(f"{shlex.join(argv)} failed ({process.returncode}): {said}")
    return out.decode(errors="replace")


def _get_mark() -> dict[str, str]:
    mark = marked.get()
    return {MARK: str(mark)} if mark else {}


def in_netns(name: str) -> tuple[str, ...]:
    """The words that put a command into a network namespace.

    nsenter and not `ip netns exec`, which would give it a mount namespace of its own and hide the pods' mounts.
    """
    return ("nsenter", f"--net=/run/netns/{name}")
