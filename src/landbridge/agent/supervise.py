"""Keeps the agent alive without the kubelet: a container that crashes takes its pod out of service, a child does not.

The parent does nothing but start the child, pass signals on and start it again; Envoy and the pod's readiness never
notice (waypoint.md 13.4).
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

from landbridge.clock import Clock

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
HEALTHY_SECONDS = 30.0  # a child that lived so long is started again at once


async def supervise(command: Sequence[str], clock: Clock) -> int:
    """Run `command` again and again until SIGTERM or SIGINT; returns the child's last exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    pause = FIRST_PAUSE
    while True:
        began = clock.monotonic()
        child = await asyncio.create_subprocess_exec(*command)
        code = await _follow(child, stopping)
        if stopping.is_set():
            return code
        pause = FIRST_PAUSE if clock.monotonic() - began > HEALTHY_SECONDS else min(pause * 2, LONGEST_PAUSE)
        sys.stderr.write(f"landbridge: the agent ended with {code} and is started again in {pause:g} s\n")
        await clock.sleep(pause)
        if stopping.is_set():
            return code


async def _follow(child: asyncio.subprocess.Process, stopping: asyncio.Event) -> int:
    """Wait for the child's end, passing SIGTERM on."""
    ended = asyncio.ensure_future(child.wait())
    asked = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if stopping.is_set() and child.returncode is None:
        child.terminate()
    return await ended
