"""Kills a runner with -9, and looks at what comes of it: the right end, no weight raised twice, nothing lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

from landbridge.clients.kinds import TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.lab import Lab
from landbridge.model.journal import Phase
from landbridge.model.service import Manifest, ServiceId
from landbridge.plan import dump
from landbridge.run.journal import Journal
from tests.connect.conftest import CLOCK
from tests.run.lab import Migration

SETTINGS = """\
version: 1
source: {{name: legacy, context: legacy}}
target: {{name: eks, context: eks}}
namespaces: [{namespace}]
dataPlane: {{image: "{image}"}}
"""


async def begin(folder: Path, lab: Lab) -> Process:
    """`landbridge run --yes` as a person starts it."""
    environment = {**os.environ, "KUBECONFIG": str(lab.kubeconfig)}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "landbridge", "run", "--yes", "-C", str(folder)),
        env=environment,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )


async def kill_after(process: Process, lines: int, seconds: float) -> bool:
    """Kill after it has said so many things and a moment more; False when it ended before."""
    assert process.stdout
    for _ in range(lines):
        if not await process.stdout.readline():
            break
    await CLOCK.sleep(seconds)
    ended = process.returncode is not None
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
    await process.communicate()
    return not ended and process.returncode == -signal.SIGKILL


@asynccontextmanager
async def weights_seen(clusters: Sequence[Kubernetes], service: ServiceId) -> AsyncIterator[dict[str, list[int]]]:
    """Every weight that a split ever had, by cluster, in order; equal ones in a row are one."""
    seen: dict[str, list[int]] = {k8s.name: [] for k8s in clusters}

    def note(k8s: Kubernetes, split: Manifest) -> None:
        share = {b["service"]: b["weight"] for b in split["spec"]["backends"]}
        local = share.get(f"{service.name}-leaf", 0)
        percent = local if k8s.name == "eks" else 100 - local
        if seen[k8s.name][-1:] != [percent]:
            seen[k8s.name].append(percent)

    async def follow(k8s: Kubernetes) -> None:
        while True:  # each weight stands for its dwell of 4 s at least
            with suppress(LandbridgeError):
                for split in await k8s.list(TRAFFICSPLIT, service.namespace):
                    note(k8s, split)
            await CLOCK.sleep(0.2)

    tasks = [asyncio.create_task(follow(k8s)) for k8s in clusters]
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended


async def across_with_kills(migration: Migration, lab: Lab, kills: int, chance: random.Random) -> None:
    """From all at home to the end, with so many kills on the way, each after a line or two and some moments."""
    bed = migration.bed
    (migration.folder / "plan.yaml").write_text(dump(migration.plan))
    (migration.folder / "migration.yaml").write_text(SETTINGS.format(namespace=bed.namespace, image=migration.image))
    killed = 0
    async with weights_seen((migration.legacy, migration.eks), bed.echo) as seen:
        while killed < kills:
            process = await begin(migration.folder, lab)
            if not await kill_after(process, chance.randint(1, 2), chance.uniform(0.0, 1.5)):
                break
            killed += 1
        last = await begin(migration.folder, lab)
        told, _ = await last.communicate()
        assert last.returncode == 0, told.decode()
    assert killed == kills
    for weights in seen.values():
        assert all(a < b for a, b in pairwise(weights)), seen
        assert weights[-1] == 100, seen
    with Journal(migration.folder / ".landbridge" / "journal.db") as journal:
        assert journal.states()[bed.echo][1].phase is Phase.DONE
