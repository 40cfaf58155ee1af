"""A runner of its own process over two API servers, with made-up traffic, so that it can be killed.

python -m tests.run.shift FOLDER     carries FOLDER/plan.json out; FOLDER/traffic.json says who fails and who is silent
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock
from landbridge.errors import LandbridgeError
from landbridge.model.look import Cursor, Look
from landbridge.model.plan import Plan
from landbridge.model.service import Route, ServiceId
from landbridge.run.carrier import read_json
from landbridge.run.runner import run
from tests.run.traffic import Traffic

PLAN = TypeAdapter(Plan)


@dataclass
class Told(Traffic):
    """Traffic that fails or is silent as the folder says at each look."""

    folder: Path = Path()

    async def read(self, routes: Sequence[Route], cursor: Cursor) -> Look:
        told = json.loads((self.folder / "traffic.json").read_text())
        self.bad = {ServiceId.parse(name): share for name, share in told["bad"].items()}
        self.silent = set(map(ServiceId.parse, told["silent"]))
        return await super().read(routes, cursor)


async def carry(folder: Path) -> None:
    legacy, eks = json.loads((folder / "clusters.json").read_text())
    async with (
        Kubernetes.connect(Path(legacy), name="legacy") as source,
        Kubernetes.connect(Path(eks), name="eks") as target,
    ):
        traffic = Told(source, target, SystemClock(), folder=folder)
        summary = await run(folder, read_json(folder / "plan.json", PLAN), source, target, provider=traffic)
    if error := summary.error():
        raise error


if __name__ == "__main__":
    try:
        asyncio.run(carry(Path(sys.argv[1])))
    except LandbridgeError as ended:
        sys.stderr.write(f"{type(ended).__name__}: {ended.what}\n")
        os._exit(ended.exit_code)
    os._exit(0)
