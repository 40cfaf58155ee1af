"""Acts on size: ready, pin, scale, un-pin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from landbridge.clients.answers import ConflictError, UnavailableError
from landbridge.clients.kinds import HPA
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect.bypass import bypass
from landbridge.connect.options import IMAGE
from landbridge.laws.weights import may_scale, may_shrink_source
from landbridge.model.journal import Receipt
from landbridge.model.manifest import text_of
from landbridge.model.plan import ActKind
from landbridge.model.service import Manifest, ObjectRef, ServiceId, Side
from landbridge.run.agenda import shared_by
from landbridge.run.decide import Ending, Result, approval
from landbridge.run.tools import Tools, objects_of, sibling, side_of
from landbridge.run.turns import Executor, Job
from landbridge.run.workloads import autoscalers, find_behind, wanted_of

SCALED = frozenset({"Deployment", "StatefulSet"})
READY_WITHIN = 600.0
TRIES = 10
AT_ONCE = 8
"""Services that are asked for at the same time."""

SHRINK_WITHIN = 120.0
"""Seconds for which connections that bypass the waypoint are waited for."""


@dataclass(frozen=True, slots=True)
class Ready(Executor):
    """Wait until the target's workloads are ready and as large as the source's."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Held when they do not come up in time."""
        within = float(job.act.args.get("within", READY_WITHIN))
        if why := await self.tools.wait(job, lambda: self.check(job), within=within):
            return Result(ending=Ending.HELD, reason=why)
        return Result(ending=Ending.DONE)

    async def check(self, job: Job) -> str:
        """Ready and large enough."""
        target = (await self.tools.behind(job, Side.TARGET)).health
        wanted = max(target.wanted, int(job.act.args.get("replicas", 0)))
        return "" if target.ready >= wanted else f"the target has {target.ready} of {wanted} replicas ready"


@dataclass(frozen=True, slots=True)
class Pin(Executor):
    """The source's HPA may not shrink it during the shift, and the target's keeps it as large as the source."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Raise the minimum of every HPA to the size that the plan says, or else to the source's."""
        size = max((await find_behind(self.tools.source, job.service)).health.wanted, 1)
        sizes = job.act.args.get("replicas", {})
        for side in Side:
            k8s = self.tools.cluster(side)
            for hpa in await self._autoscalers(job, side):
                wanted = max(1, int(sizes.get(text_of(ObjectRef.of(hpa)), size)))
                low, high = int(hpa["spec"].get("minReplicas") or 1), int(hpa["spec"]["maxReplicas"])
                job.remember([_receipt(side, hpa, {"minReplicas": low, "maxReplicas": high})])
                await _patch(k8s, hpa, {"minReplicas": max(low, wanted), "maxReplicas": max(high, wanted)})
        return Result(ending=Ending.DONE)

    async def _autoscalers(self, job: Job, side: Side) -> list[Manifest]:
        k8s = self.tools.cluster(side)
        if "objects" not in job.act.args:
            return await autoscalers(k8s, (await find_behind(k8s, job.service)).workloads)
        found = [await k8s.find(HPA, ref.name, ref.namespace) for ref in objects_of(job)]
        return [hpa for hpa in found if hpa is not None]

    async def undo(self, job: Job) -> Result:
        """The HPAs as they were."""
        await put_back(self.tools, job.receipts)
        return Result(ending=Ending.UNDONE)


@dataclass(frozen=True, slots=True)
class Unpin(Executor):
    """The HPAs as they were before the shift."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """By the receipts of the pin."""
        await put_back(self.tools, job.receipts_of(sibling(job, ActKind.PIN)))
        return Result(ending=Ending.DONE)

    async def undo(self, job: Job) -> Result:
        """Pin again: the way back needs the source's size."""
        for receipt in job.receipts_of(sibling(job, ActKind.PIN)):
            k8s = self.tools.cluster(receipt.side)
            hpa = await k8s.find(HPA, receipt.ref.name, receipt.ref.namespace)
            if hpa is not None:
                workloads = (await find_behind(self.tools.source, job.service)).workloads
                size = max(1, *(wanted_of(w) for w in workloads)) if workloads else 1
                await _patch(k8s, hpa, {"minReplicas": max(int(hpa["spec"].get("minReplicas") or 1), size)})
        return Result(ending=Ending.UNDONE)


async def put_back(tools: Tools, receipts: Sequence[Receipt]) -> None:
    """HPAs get the bounds that their receipts hold; one that is gone stays gone."""
    for receipt in receipts:
        k8s = tools.cluster(receipt.side)
        hpa = await k8s.find(HPA, receipt.ref.name, receipt.ref.namespace)
        if hpa is not None and receipt.prior is not None:
            await _patch(k8s, hpa, dict(receipt.prior["spec"]))


async def _patch(k8s: Kubernetes, hpa: Manifest, spec: dict[str, Any]) -> None:
    """On condition that nobody changed its spec; its status is written every few seconds, which is no drift."""
    meta, seen = hpa["metadata"], hpa["spec"]
    for _ in range(TRIES):
        version = str(hpa["metadata"]["resourceVersion"])
        try:
            await k8s.patch(HPA, meta["name"], {"spec": spec}, meta["namespace"], version=version)
        except ConflictError:
            hpa = await k8s.get(HPA, meta["name"], meta["namespace"])
            if hpa["spec"] != seen:
                raise
        else:
            return
    raise UnavailableError(f"HorizontalPodAutoscaler {meta['name']} changes too fast to be written", where=k8s.name)


def _receipt(side: Side, manifest: Manifest, spec: dict[str, Any]) -> Receipt:
    version = str(manifest["metadata"]["resourceVersion"])
    return Receipt(side=side, ref=ObjectRef.of(manifest), prior={"spec": spec}, version=version)


@dataclass(frozen=True, slots=True)
class Scale(Executor):
    """Scale a side's workloads, its exact replicas remembered; the source only when nothing calls it any more."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Refused (held) while the side carries traffic or somebody is connected past the waypoint."""
        side, replicas = side_of(job), int(job.act.args["replicas"])
        last = side is Side.SOURCE and replicas == 0
        why = await self.tools.wait(job, lambda: self._still_called(job), within=SHRINK_WITHIN) if last else ""
        if why:
            return Result(ending=Ending.HELD, reason=why)
        k8s = self.tools.cluster(side)
        workloads = [w for w in (await self.tools.behind(job, side)).workloads if w["kind"] in SCALED]
        job.remember([_receipt(side, w, {"replicas": wanted_of(w)}) for w in workloads])
        for workload in workloads:
            if wanted_of(workload) != replicas:
                meta = workload["metadata"]
                kind = await k8s.kind_of(workload)
                await k8s.scale(kind, meta["name"], meta["namespace"], replicas)
        return Result(ending=Ending.DONE)

    async def _still_called(self, job: Job) -> str:
        """What still uses the source: a weight below 100, or connections past the waypoint; workers have neither.

        Services in front of the same pods are asked for side by side, but for the first: it has the counting begun.
        """
        services = [ServiceId.parse(name) for name in self._services(job)]
        if not services:
            return ""
        first, *others = services
        if why := await self._uses(job, first):
            return why
        slots = asyncio.Semaphore(AT_ONCE)

        async def ask(service: ServiceId) -> str:
            async with slots:
                return await self._uses(job, service)

        return next(filter(None, await asyncio.gather(*map(ask, others))), "")

    async def _uses(self, job: Job, service: ServiceId) -> str:
        switches = await self.tools.switches_of(job, service)
        percent = (await switches.routers[Side.SOURCE].get_weight()).percent
        count = await bypass(self.tools.source, service, clock=self.tools.clock, image=self.tools.image or IMAGE)
        refusal = may_shrink_source(
            percent=percent,
            soaked=0.0,
            soak=0.0,  # an act before this one in the plan
            bypass=count,
            approved=approval(job.act.id) in job.state.done,
        ) or may_scale(side=Side.SOURCE, replicas=0, percent=percent)
        return f"{service}: {refusal}" if refusal else ""

    def _services(self, job: Job) -> tuple[str, ...]:
        """The services in front of what is scaled; a worker of a namespace has none."""
        return shared_by(job.act) or (() if job.service.name == "*" else (str(job.service),))

    async def check(self, job: Job) -> str:
        """The replicas are as asked."""
        side, replicas = side_of(job), int(job.act.args["replicas"])
        workloads = (await self.tools.behind(job, side)).workloads
        wrong = [w for w in workloads if w["kind"] in SCALED and wanted_of(w) != replicas]
        return f"{ObjectRef.of(wrong[0])} has {wanted_of(wrong[0])} replicas" if wrong else ""

    async def undo(self, job: Job) -> Result:
        """The exact replicas of before, and wait until they are ready."""
        side = side_of(job)
        k8s = self.tools.cluster(side)
        for receipt in job.receipts:
            kind = await k8s.kind_of({"apiVersion": receipt.ref.api_version, "kind": receipt.ref.kind})
            if receipt.prior is not None and await k8s.find(kind, receipt.ref.name, receipt.ref.namespace):
                await k8s.scale(kind, receipt.ref.name, receipt.ref.namespace, int(receipt.prior["spec"]["replicas"]))
        if why := await self.tools.wait(job, lambda: self._unready(job, side), within=READY_WITHIN):
            return Result(ending=Ending.HELD, reason=why)
        return Result(ending=Ending.UNDONE)

    async def _unready(self, job: Job, side: Side) -> str:
        health = (await self.tools.behind(job, side)).health
        return "" if health.ready >= health.wanted else f"{health.ready} of {health.wanted} replicas ready"
