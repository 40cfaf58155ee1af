"""Two joined clusters with an echo service under load, for the tests with pods."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest_asyncio

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock
from landbridge.connect.adopt import adopt, create_adopted
from landbridge.connect.connect import connect
from landbridge.connect.options import Options
from landbridge.lab import Lab
from tests.connect.bed import Bed, growth

CLOCK = SystemClock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """`legacy` has the callers and the original pods; `eks` has the copy."""

    lab: Lab
    legacy: Kubernetes
    eks: Kubernetes
    bed: Bed

    async def weight(self, percent: int) -> None:
        """So much of everything goes to eks, from callers on both sides."""
        await self.bed.split(self.legacy, "eks", percent)
        await self.bed.split(self.eks, "legacy", 100 - percent)

    async def counts(self) -> dict[str, Any]:
        return await self.bed.counts(self.legacy)

    async def since(self, before: dict[str, Any], requests: int = 150) -> dict[str, Any]:
        """What was counted since, once so many more requests were sent."""
        await self.bed.pass_requests(self.legacy, requests)
        return growth(before, await self.counts())


def clients(lab: Lab) -> tuple[Kubernetes, Kubernetes]:
    from landbridge.clients.kubeconfig import load

    made = [Kubernetes(load(place.kubeconfig).context(), name=place.name) for place in lab.clusters]
    return made[0], made[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def joined(joinable: Lab) -> AsyncIterator[Joined]:
    """Joined for one module, adopted on both sides, the copy ready, all weight on legacy, callers running."""
    lab = joinable
    bed = Bed(namespace=f"connect-{secrets.token_hex(3)}", image=lab.images["python"])
    async with AsyncExitStack() as stack:
        legacy, eks = clients(lab)
        for k8s in (legacy, eks):
            stack.push_async_callback(k8s.close)
            await bed.lay(k8s)
        stack.push_async_callback(leave, bed, legacy, eks)
        # callers hold TCP connections that never end: pods that leave would wait for them for five minutes
        options = Options(namespaces=(bed.namespace,), image=lab.images["landbridge"], hold=10)
        await legacy.apply(bed.service())
        await asyncio.gather(connect(legacy, eks, options), bed.serve(legacy), bed.serve(eks))
        await adopt(legacy, bed.echo, other="eks", clock=CLOCK)
        await create_adopted(eks, bed.service(), other="legacy", clock=CLOCK)
        made = Joined(lab=lab, legacy=legacy, eks=eks, bed=bed)
        await made.weight(0)
        await bed.call(legacy, rate=100)
        await bed.pass_requests(legacy, 100)
        yield made


async def leave(bed: Bed, *clusters: Kubernetes) -> None:
    """Take the bed away; the gateways stay for the next one, see `joinable`."""
    for k8s in clusters:
        await bed.remove(k8s)
