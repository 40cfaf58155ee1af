"""Inventory, assessment and plan of 10,000 objects against the time to list and decode them, on a real API server.

The peer is what nobody can do without: every object of every common kind of the source listed and decoded, by the same
client, in the same pages, as many at a time, as any Python program does it. Ours reads the target besides. A part of
what ours saves is the garbage collector's work (`landbridge.garbage`); a peer that knows this trick, too, is measured
beside it. Each turn has a process of its own, as a command has: what one leaves in memory, and what it told the
collector, changes the time of the next by a quarter. All take turns, so that what else the machine does meets all: the
ratio is the median of the turns' ratios, and beside it stand the quickest turns.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
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
from landbridge.model.service import Manifest
from landbridge.plan import make
from landbridge.settings import Migration
from landbridge.settings.migration import Cluster

NAME = "inventory"
BOUND = 1.5
AT_ONCE = 32
TURNS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Two clusters and the namespaces that move."""

    source: Path
    target: Path
    namespaces: tuple[str, ...]


async def measure(*, quick: bool) -> list[Figure]:
    """10,000 objects (1,000)."""
    async with (
        apiserver(name="legacy", say=say) as source,
        apiserver(name="eks", say=say) as target,
        Kubernetes.connect(source.kubeconfig, name="legacy") as old,
    ):
        spaces = await fill(old, 1_000 if quick else 10_000)
        say(f"  {len(spaces)} namespaces filled")
        ends = Ends(source=source.kubeconfig, target=target.kubeconfig, namespaces=tuple(spaces))
        turns = [{name: await _alone(name, ends) for name in WORK} for _ in range(3 if quick else TURNS)]
    return figures(turns)


def figures(turns: Sequence[Mapping[str, tuple[float, int]]]) -> list[Figure]:
    """By turn the seconds that each kind of work took, and what it counted."""
    alone, own = "list and decode", "inventory, assess and plan"
    listing, rested, everything = (min(turn[name][0] for turn in turns) for name in WORK)
    (_, objects), _, (_, acts) = turns[-1].values()
    ratio = median(turn["plan"][0] / turn["list"][0] for turn in turns)
    quickest = f"median of {len(turns)} turns; of the quickest {everything / listing:.2f}"
    return [
        Figure(benchmark=NAME, what=f"test bed alone: {alone}", value=listing, unit="s", why=f"{objects:,} objects"),
        Figure(benchmark=NAME, what=f"{alone}, collector at rest", value=rested, unit="s", why="knows our trick"),
        Figure(benchmark=NAME, what=own, value=everything, unit="s", why=f"a plan of {acts:,} acts"),
        Figure(benchmark=NAME, what=f"{own} to {alone}", value=ratio, limit=BOUND, why=quickest),
        Figure(benchmark=NAME, what="the same to collector at rest", value=everything / rested, why="no limit"),
    ]


async def _alone(name: str, ends: Ends) -> tuple[float, int]:
    """Some work in a fresh process: its seconds, and what it counted."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, _timed, name, ends)


def _timed(name: str, ends: Ends) -> tuple[float, int]:
    return asyncio.run(_time(WORK[name], ends))


async def _time(work: Work, ends: Ends) -> tuple[float, int]:
    async with (
        Kubernetes.connect(ends.source, name="legacy") as old,
        Kubernetes.connect(ends.target, name="eks") as new,
    ):
        kinds = _common(await old.served(), await new.served())
        start = time.perf_counter()
        counted = await work(old, new, kinds, ends.namespaces)
        return time.perf_counter() - start, counted


async def _list(old: Kubernetes, new: Kubernetes, kinds: Sequence[Kind], spaces: Sequence[str]) -> int:  # noqa: ARG001
    """List and decode everything, and keep it as the inventory has to; how many objects there are."""
    limit = asyncio.Semaphore(LISTS_AT_ONCE)

    async def one(kind: Kind) -> list[Manifest]:
        async with limit:
            return await old.list(kind)

    return sum(map(len, await asyncio.gather(*map(one, kinds))))


async def _rested(old: Kubernetes, new: Kubernetes, kinds: Sequence[Kind], spaces: Sequence[str]) -> int:
    with resting():
        return await _list(old, new, kinds, spaces)


async def _plan(old: Kubernetes, new: Kubernetes, kinds: Sequence[Kind], spaces: Sequence[str]) -> int:  # noqa: ARG001
    """All that `inventory`, `assess` and `plan` do, without writing YAML; how many acts are planned."""
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
    plan = make(facts, passed, get_catalog())
    return sum(len(service.acts) for wave in plan.waves for service in wave.services)


Work = Callable[[Kubernetes, Kubernetes, Sequence[Kind], Sequence[str]], Awaitable[int]]
WORK: Mapping[str, Work] = {"list": _list, "rested": _rested, "plan": _plan}


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
