"""What the executors of all acts share: both clusters, the switches, the observer, the clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock
from landbridge.model.manifest import ref_of
from landbridge.model.plan import ActKind
from landbridge.model.service import ObjectRef, ServiceId, Side
from landbridge.run.agenda import acts_of, service_plans
from landbridge.run.observer import Observer
from landbridge.run.switches import Switchboard, TwoSided
from landbridge.run.turns import Job
from landbridge.run.workloads import Behind, find_behind
from landbridge.translate.rules import Rules

POLL = 0.5
"""Seconds between two looks at something that an act waits for."""
REST, LONGEST = 3.0, 2.0
"""They are so many times as long as a look takes where that is longer, and so many seconds at most: what pods wait for
when they start is a busy machine's cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """One set a run."""

    source: Kubernetes
    target: Kubernetes
    switchboard: Switchboard
    observer: Observer
    clock: Clock
    rules: Rules = field(default_factory=Rules)
    image: str = ""
    """The image of the container that counts connections; empty for landbridge's own."""

    def cluster(self, side: Side) -> Kubernetes:
        """The cluster of a side."""
        return self.source if side is Side.SOURCE else self.target

    async def switches(self, job: Job) -> TwoSided:
        """The switches of the act's service, made as its split act says."""
        return await self.switchboard.planned(job.service, sibling_args(job, ActKind.SPLIT))

    async def switches_of(self, job: Job, service: ServiceId) -> TwoSided:
        """Those of another service of the plan."""
        args = next((act.args for act in acts_of(job.plan, service) if act.kind is ActKind.SPLIT), {})
        return await self.switchboard.planned(service, args)

    async def behind(self, job: Job, side: Side) -> Behind:
        """The workloads that an act names, or else those behind its service."""
        k8s = self.cluster(side)
        if "objects" not in job.act.args:
            return await find_behind(k8s, job.service)
        found = []
        for ref in objects_of(job):
            kind = await k8s.kind_of({"apiVersion": ref.api_version, "kind": ref.kind})
            found.append(await k8s.find(kind, ref.name, ref.namespace))
        if None in found:
            return Behind(workloads=())
        return Behind(workloads=tuple(item for item in found if item is not None))

    async def wait(self, job: Job, why_not: Callable[[], Awaitable[str]], *, within: float) -> str:
        """Wait until `why_not` has nothing to say, at most so many seconds; what it said last.

        Raises InterruptedActError when a person wants something else, FenceError when the lease is lost.
        """
        began = self.clock.monotonic()
        end, told = began + within, ""
        while why := await why_not():
            job.check()
            if why != told:
                job.say(f"waits: {why}")
                told = why
            if self.clock.monotonic() >= end:
                return why
            await self.clock.sleep(min(max(POLL, REST * (self.clock.monotonic() - began)), LONGEST))
            began = self.clock.monotonic()
        return ""


def side_of(job: Job) -> Side:
    """The side that an act names."""
    return Side(job.act.args["side"])


def objects_of(job: Job) -> list[ObjectRef]:
    """The objects that an act names."""
    return [ref_of(str(text)) for text in job.act.args.get("objects", ())]


def sibling_args(job: Job, kind: ActKind) -> Mapping[str, Any]:
    """The arguments of another act of the same service, empty when the plan has none."""
    for entry in service_plans(job.plan, job.service):
        for act in entry.acts:
            if act.kind is kind:
                return act.args
    return {}


def sibling(job: Job, kind: ActKind, side: Side | None = None) -> str:
    """The id of another act of the same service, empty when the plan has none."""
    for entry in service_plans(job.plan, job.service):
        for act in entry.acts:
            if act.kind is kind and (side is None or act.args.get("side") == side.value):
                return act.id
    return ""
