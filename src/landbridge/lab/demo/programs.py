"""The landbridge of a demo: its own command line in processes of their own, which can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from landbridge.errors import LandbridgeError
from landbridge.lab.host.cgroups import favour_session

Say = Callable[[str], None]


class Landbridge:
    """Runs commands in the migration's folder with the lab's kubeconfig; every line they print is passed on."""

    def __init__(self, folder: Path, kubeconfig: Path, say: Say) -> None:
        self.folder = folder
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "LANDBRIDGE_DIR": str(folder)}
        self._environment |= {"NO_COLOR": "1", "COLUMNS": "200"}
        self._say = say

    async def run(self, *arguments: str, expect: Sequence[int] = (0,)) -> int:
        """One command to its end; LandbridgeError when its exit code is not one of those expected."""
        process = await self.start(*arguments)
        code = await self.finish(process)
        if code not in expect:
            raise LandbridgeError(
                f"`landbridge {' '.join(arguments)}` ended with {code}, not {' or '.join(map(str, expect))}",
                where=str(self.folder),
                advice="what it printed is above",
            )
        return code

    async def read(self, *arguments: str) -> Any:
        """What a command says with `-o json`; LandbridgeError when it says nothing."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "landbridge", *arguments, "-o", "json"),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        text, _ = await process.communicate()
        if not text:
            raise LandbridgeError(f"`landbridge {' '.join(arguments)}` said nothing", where=str(self.folder))
        return json.loads(text)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """A command in a process group of its own; whoever starts it ends it."""
        self._say(f"[bold]$ landbridge {' '.join(arguments)}[/bold]")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "landbridge", *arguments),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        favour_session(process.pid)
        return process

    async def finish(self, process: asyncio.subprocess.Process) -> int:
        """Pass its lines on until it ends; when we are stopped first, it is ended with us."""
        assert process.stdout
        try:
            async for line in process.stdout:
                self._say("  " + line.decode(errors="replace").rstrip().replace("[", r"\["))
            return await process.wait()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def kill(self, process: asyncio.subprocess.Process) -> None:
        """Kill with -9, as a machine that dies does."""
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
