"""Acts on objects: copy them, hand schedules over."""

from __future__ import annotations

from dataclasses import dataclass, replace

from landbridge.consumers.schedules import hand_back, hand_over
from landbridge.model.service import ServiceId
from landbridge.run.acts_size import SCALED
from landbridge.run.copy import copy, undo_copy
from landbridge.run.decide import Ending, Result
from landbridge.run.tools import Tools, objects_of
from landbridge.run.turns import Executor, Job
from landbridge.run.workloads import selector_of
from landbridge.translate.rules import Patch, Rules


@dataclass(frozen=True, slots=True)
class Copy(Executor):
    """Copy objects from the source to the target; a second copy changes nothing."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """All that the act names."""
        tools = self.tools
        copied = await copy(tools.source, tools.target, objects_of(job), await self._rules(job), say=job.say)
        job.remember(copied.receipts)
        for note in copied.notes:
            job.say(note)
        return Result(ending=Ending.DONE, reason=f"{len(copied.receipts)} objects written")

    async def _rules(self, job: Job) -> Rules:
        """The run's rules; Services that stand adopted have their selector in the leaf, workers may arrive stopped."""
        objects, rules = objects_of(job), self.tools.rules
        services = [ServiceId(ref.namespace, ref.name) for ref in objects if ref.kind == "Service"]
        selectors = {service: await selector_of(self.tools.source, service) for service in services}
        stopped: tuple[Patch, ...] = ()
        if "replicas" in job.act.args:
            size = {"op": "add", "path": "/spec/replicas", "value": int(job.act.args["replicas"])}
            scaled = [ref for ref in objects if ref.kind in SCALED]
            stopped = tuple(
                Patch(kind=ref.kind, name=ref.name, namespace=ref.namespace, operations=(size,)) for ref in scaled
            )
        known = {service: labels for service, labels in selectors.items() if labels}
        return replace(rules, selectors={**rules.selectors, **known}, patches=(*rules.patches, *stopped))

    async def undo(self, job: Job) -> Result:
        """Take away what the copy made."""
        notes = await undo_copy(self.tools.target, job.receipts)
        return Result(ending=Ending.UNDONE, reason="; ".join(notes))


@dataclass(frozen=True, slots=True)
class HandOver(Executor):
    """Schedules run on the target from here on, each time exactly once."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """One after the other."""
        for ref in objects_of(job):
            job.check()
            tools = self.tools
            job.remember(await hand_over(tools.source, tools.target, ref, clock=tools.clock, say=job.say))
        return Result(ending=Ending.DONE)

    async def undo(self, job: Job) -> Result:
        """The target's consumers off first, then the source's on again."""
        for ref in objects_of(job):
            receipts = [receipt for receipt in job.receipts if receipt.ref == ref]
            if receipts:
                tools = self.tools
                await hand_back(tools.source, tools.target, receipts, clock=tools.clock, say=job.say)
        return Result(ending=Ending.UNDONE)
