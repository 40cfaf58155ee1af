"""The act that shows a Service to the other cluster where Linkerd joins them: no waypoint, only a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.linkerd.link import EXPORTED
from landbridge.model.journal import Receipt
from landbridge.model.manifest import annotations_of, labels_of
from landbridge.model.mirror import mirror_name
from landbridge.model.service import Manifest, ObjectRef, Side
from landbridge.run.acts_traffic import READY_WITHIN, portable
from landbridge.run.decide import Ending, Result
from landbridge.run.tools import Tools, side_of
from landbridge.run.turns import Executor, Job
from landbridge.run.workloads import selector_of
from landbridge.translate.adoption import EXPORT_MADE


@dataclass(frozen=True, slots=True)
class Export(Executor):
    """Label a Service so that the other cluster mirrors it; on the target it is made first."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Done when the mirror is there: without one a split would point at nothing."""
        side = side_of(job)
        job.remember(await self._export(job, side))
        why = await self.tools.wait(job, lambda: self._unseen(job, side), within=READY_WITHIN)
        return Result(ending=Ending.HELD, reason=why) if why else Result(ending=Ending.DONE)

    async def _export(self, job: Job, side: Side) -> list[Receipt]:
        k8s, service = self.tools.cluster(side), job.service
        found = await k8s.find(SERVICE, service.name, service.namespace)
        if found is None and side is Side.TARGET:
            original = await self.tools.source.get(SERVICE, service.name, service.namespace)
            copy = portable(original, dict(await selector_of(self.tools.source, service)))
            copy["metadata"]["labels"] |= {EXPORTED: "true"}
            copy["metadata"]["annotations"] = {EXPORT_MADE: "true"}
            made = await k8s.create(copy)
            version = made["metadata"]["resourceVersion"]
            return [Receipt(side=side, ref=ObjectRef.of(made), prior=None, version=version)]
        found = found or await k8s.get(SERVICE, service.name, service.namespace)
        if labels_of(found).get(EXPORTED) == "true":
            return []
        prior = {"metadata": {"labels": dict(labels_of(found)), "annotations": dict(annotations_of(found))}}
        patched = await _mark(k8s, found, {EXPORTED: "true"}, {EXPORT_MADE: "true"})
        return [
            Receipt(side=side, ref=ObjectRef.of(found), prior=prior, version=patched["metadata"]["resourceVersion"])
        ]

    async def _unseen(self, job: Job, side: Side) -> str:
        there, here = self.tools.cluster(side.other), self.tools.cluster(side)
        name = mirror_name(job.service.name, here.name)
        if await there.find(SERVICE, name, job.service.namespace):
            return ""
        return f"{there.name} has no mirror {job.service.namespace}/{name} yet; `landbridge check` says why it may be"

    async def check(self, job: Job) -> str:
        """It is exported, and seen there."""
        side = side_of(job)
        found = await self.tools.cluster(side).find(SERVICE, job.service.name, job.service.namespace)
        exported = found is not None and labels_of(found).get(EXPORTED) == "true"
        return await self._unseen(job, side) if exported else f"{job.service} is not exported on the {side.value}"

    async def undo(self, job: Job) -> Result:
        """The label goes, or the Service that was made."""
        k8s, service = self.tools.cluster(side_of(job)), job.service
        for receipt in job.receipts:
            found = await k8s.find(SERVICE, service.name, service.namespace)
            if found is None or EXPORT_MADE not in annotations_of(found):
                continue
            if receipt.prior is None:
                version = found["metadata"]["resourceVersion"]
                await k8s.delete(SERVICE, service.name, service.namespace, version=version)
                continue
            before = receipt.prior["metadata"]
            await _mark(
                k8s,
                found,
                {EXPORTED: before["labels"].get(EXPORTED)},
                {EXPORT_MADE: before["annotations"].get(EXPORT_MADE)},
            )
        return Result(ending=Ending.UNDONE)


async def _mark(k8s: Kubernetes, found: Manifest, labels: dict[str, Any], annotations: dict[str, Any]) -> Manifest:
    meta = found["metadata"]
    patch = {"metadata": {"labels": labels, "annotations": annotations}}
    return await k8s.patch(SERVICE, meta["name"], patch, meta["namespace"], version=meta["resourceVersion"])
