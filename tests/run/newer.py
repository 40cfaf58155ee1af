"""The runner as a newer version would be: its workflows record one more step, before the others."""

from __future__ import annotations

import os
from typing import Any

from landbridge.run import engine
from tests.run import world

_older = engine._steps


async def _steps(engine_: engine.Engine, service: str, n: int, state: dict[str, Any]) -> None:
    async def weigh() -> dict[str, Any]:
        return {"new": True}

    await engine._step(engine_, "weigh", weigh)
    await _older(engine_, service, n, state)


setattr(engine, "_steps", _steps)  # noqa: B010 - what a newer version would have instead

if __name__ == "__main__":
    os._exit(world.main())
