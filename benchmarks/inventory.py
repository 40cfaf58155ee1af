"""Inventory, assessment and plan of 10,000 objects against the time to list and decode them, on a real API server.

The peer is what nobody can do without: every object of every common kind of the source listed and decoded, by the same
client, in the same pages, as many at a time, as any Python program does it. Ours reads the target besides. A part of
what ours saves is the garbage collector's work (`landbridge.garbage`); a peer that knows this trick, too, is measured
beside it. All take turns, so that what else the machine does meets all; of each the quickest turn counts.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from benchmarks.figures import Figure
from benchmarks.traffic import say
from landbridge.assess import Facts, assess
from landbridge.catalog import get_catalog
from landbridge.clients.kubernetes import Kind, Kubernetes
from landbridge.garbage import resting
from landbridge.inventory import KubernetesSource
from landbridge.inventory.kubernetes import AT_ONCE as LISTS_AT_ONCE
from landbridge.inventory.kubernetes import _common
from landbridge.lab import apiserver
from landbridge.lab.shop.objects import manifests
from landbridge.model.plan import Plan
from landbridge.model.service import Manifest
from landbridge.plan import make
from landbridge.settings import Migration
from landbridge.settings.migration import Cluster

NAME = "inventory"
BOUND = 1.5
AT_ONCE = 32
TURNS = 7


async def measure(*, quick: bool) -> list[Figure]:
    """10,000 objects (1,000)."""
    async with (
        apiserver(name="legacy", say=say) as source,
        apiserver(name="eks", say=say) as target,
        Kubernetes.connect(source.kubeconfig, name="legacy") as old,
        Kubernetes.connect(target.kubeconfig, name="eks") as new,
    ):
        spaces = await fill(old, 1_000 if quick else 10_000)
        say(f"  {len(spaces)} namespaces filled")
        kinds = _common(await old.served(), await new.served())
        objects: list[int] = []
        plans: list[Plan] = []

        async def read() -> None:
            objects.append(await _count(old, kinds))

        async def rested() -> None:
            with resting():
                await read()

        async def whole() -> None:
            plans.append(await _plan(old, new, spaces))

        turns = range(3 if quick else TURNS)
        taken = [(await seconds(read), await seconds(rested), await seconds(whole)) for _ in turns]
    acts = sum(len(service.acts) for wave in plans[-1].waves for service in wave.services)
    return figures(objects[-1], taken, acts)


def figures(objects: int, taken: Sequence[tuple[float, float, float]], acts: int) -> list[Figure]:
    """The three times in seconds by turn, and ours against both others."""
    alone, own = "list and decode", "inventory, assess and plan"
    listing, rested, everything = (min(times) for times in zip(*taken, strict=True))
    usual = median(ours / theirs for theirs, _, ours in taken)
    ratio = f"{everything:.2f} / {listing:.2f} s; median of {len(taken)} turns {usual:.2f}"
    return [
        Figure(benchmark=NAME, what=f"test bed alone: {alone}", value=listing, unit="s", why=f"{objects:,} objects"),
        Figure(benchmark=NAME, what=f"{alone}, collector at rest", value=rested, unit="s", why="knows our trick"),
        Figure(benchmark=NAME, what=own, value=everything, unit="s", why=f"a plan of {acts:,} acts"),
        Figure(benchmark=NAME, what=f"{own} to {alone}", value=everything / listing, limit=BOUND, why=ratio),
        Figure(benchmark=NAME, what="the same to collector at rest", value=everything / rested, why="no limit"),
    ]


async def _count(k8s: Kubernetes, kinds: Sequence[Kind]) -> int:
    """List and decode everything, and keep it as the inventory has to; how many objects there are."""
    limit = asyncio.Semaphore(LISTS_AT_ONCE)

    async def one(kind: Kind) -> list[Manifest]:
        async with limit:
            return await k8s.list(kind)

    return sum(map(len, await asyncio.gather(*map(one, kinds))))


async def _plan(old: Kubernetes, new: Kubernetes, spaces: Sequence[str]) -> Plan:
    """All that `inventory`, `assess` and `plan` do, without writing YAML."""
    migration = Migration(
        source=Cluster(name="legacy", context="legacy"),
        target=Cluster(name="eks", context="eks"),
        namespaces=tuple(spaces),
        accepted=({"check": "capacity", "reason": "an API server alone", "date": "2026-11-21"},),
    )
    inventory = await KubernetesSource(old, new, spaces).collect()
    facts = Facts(inventory, migration)
    findings = assess(facts)
    passed = tuple(finding for finding in findings if finding.severity.value != "blocker")
    return make(facts, passed, get_catalog())


async def fill(k8s: Kubernetes, wanted: int) -> list[str]:
    """Shops, one a namespace, until there are so many objects; returns the namespaces."""
    limit = asyncio.Semaphore(AT_ONCE)
    spaces: list[str] = []
    made = 0

    async def create(item: dict[str, object]) -> None:
        async with limit:
            await k8s.create(item, manager="kubectl-client-side-apply")

    while made < wanted:
        space = f"shop-{len(spaces):03d}"
        objects = manifests(space, image="shop:1", postgres="10.90.0.1", redis="10.90.0.1", password="x")
        await create(objects[0])
        await asyncio.gather(*(create(item) for item in objects[1:]))
        spaces.append(space)
        made += len(objects)
    return spaces


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    """How long it takes, after what came before has been cleared away."""
    gc.collect()
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start
