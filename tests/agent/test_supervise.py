"""The supervisor with real children, and what it tells them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from landbridge.agent.commands import app
from landbridge.agent.options import Options, Role
from landbridge.clock import SystemClock, wait_for

PARENT = """
import asyncio, sys
from landbridge.agent.supervise import supervise
from landbridge.clock import SystemClock
sys.exit(asyncio.run(supervise(sys.argv[1:], SystemClock())))
"""
CHILD = """
import pathlib, signal, sys
file = pathlib.Path(sys.argv[1])
lives = int(file.read_text() or 0) + 1 if file.exists() else 1
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
file.write_text(str(lives))
if lives < 3:
    sys.exit(1)
signal.pause()
"""


async def test_a_child_that_dies_is_started_again_and_sigterm_ends_both(tmp_path: Path) -> None:
    file = tmp_path / "lives"
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, sys.executable, "-c", CHILD, str(file), stderr=asyncio.subprocess.PIPE
    )

    async def lives_thrice() -> bool:
        return file.exists() and file.read_text() == "3"

    await wait_for(lives_thrice, what="the third life", within=60, clock=SystemClock())
    parent.terminate()
    _, told = await asyncio.wait_for(parent.communicate(), 30)
    assert parent.returncode == 7, "the child's own exit code"
    assert told.count(b"is started again") == 2


def test_the_child_is_told_what_the_parent_was_told(tmp_path: Path) -> None:
    options = Options(role=Role.GATEWAY, namespace="a", cluster="b", envoy_dir=tmp_path, hop_header="x-hops")
    _, told, _ = app.parse_args(options.arguments())
    assert (told.arguments["role"], told.arguments["hop_header"]) == (Role.GATEWAY, "x-hops")
    plain = Options(role=Role.GATEWAY, namespace="a", cluster="b", envoy_dir=tmp_path)
    assert "--hop-header" not in plain.arguments()
