"""The runner is killed with -9 again and again on real pods: the right end, no weight raised twice, nothing lost."""

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

import pytest

from landbridge.clients.kinds import TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.lab import Lab
from landbridge.model.journal import Phase
from landbridge.model.service import Manifest, ServiceId
from landbridge.plan import dump
from landbridge.run.agenda import Scope
from landbridge.run.journal import Journal
from tests.connect.bed import growth
from tests.connect.conftest import CLOCK
from tests.run.test_lab import Migration, migration, plan_of  # noqa: F401 - migration is a fixture

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("kills")]

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
        while True:  # each weight stands for its dwell of 6 s at least
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


async def across_with_kills(migration: Migration, lab: Lab, kills: int, chance: random.Random) -> None:  # noqa: F811
    bed, legacy, eks = migration.bed, migration.legacy, migration.eks
    plan = plan_of(bed.echo)
    (migration.folder / "plan.yaml").write_text(dump(plan))
    (migration.folder / "migration.yaml").write_text(SETTINGS.format(namespace=bed.namespace, image=migration.image))
    assert (await migration.run(Scope(last_wave=0))).error() is None
    await bed.call(legacy, rate=100)
    before = await bed.counts(legacy)
    killed = 0
    async with weights_seen((legacy, eks), bed.echo) as seen:
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
    found = growth(before, await bed.counts(legacy))
    assert (found.get("failed", 0), found.get("tcp_failed", 0)) == (0, 0), str(found)


async def test_twenty_kills_within_one_run(migration: Migration, lab: Lab) -> None:  # noqa: F811
    await across_with_kills(migration, lab, 20, random.Random(7))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
async def test_one_kill_in_each_of_twenty_runs(migration: Migration, lab: Lab, seed: int) -> None:  # noqa: F811
    await across_with_kills(migration, lab, 1, random.Random(seed))
