"""Acts on traffic: adopt, split, weight, finish, soak, un-adopt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kinds import SERVICE
from landbridge.connect.adopt import adopt, create_adopted, is_adopted, unadopt
from landbridge.laws.rollback import Back, may_go_back
from landbridge.laws.weights import Health, may_raise
from landbridge.model.journal import Phase, Receipt
from landbridge.model.mirror import mirror_name
from landbridge.model.plan import ActKind
from landbridge.model.service import Manifest, ServiceId, Side, Weight
from landbridge.observe.held import held
from landbridge.run.agenda import acts_of
from landbridge.run.agenda import percent as percent_of
from landbridge.run.decide import Ending, Result
from landbridge.run.switches import TwoSided
from landbridge.run.tools import Tools, sibling, sibling_args, side_of
from landbridge.run.turns import Executor, InterruptedActError, Job
from landbridge.run.workloads import endpoints_ready, find_behind, selector_of
from landbridge.translate.adoption import leaf_name
from landbridge.translate.callers import written

FULL_RETRY = "landbridge.dev/full-retry"
"""On a leaf: the owner has chosen that the waypoint retries more than what is safe."""

READY_WITHIN = 300.0
"""Seconds for which an act waits for replicas and mirrors before it says that it is held."""


HELD_WITHIN = 15.0
"""Seconds for which connections that a weight of 0 leaves on the target may go on before its copy is taken away; as
long as a waypoint that ends drains."""


@dataclass(frozen=True, slots=True)
class Adopt(Executor):
    """Put the waypoint into a Service's path; on the target the Service is made already adopted."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Adopt on the side that the act names; on the target before anything of it runs there."""
        side = side_of(job)
        k8s, other, clock = self.tools.cluster(side), self.tools.cluster(side.other).name, self.tools.clock
        args = job.act.args
        told: dict[str, Any] = {
            "protocols": args.get("protocols"),
            "pods": written(args.get("pods") or ()),
            "enforce": args.get("policies") == "enforce",
        }
        if side is Side.SOURCE:
            made = await adopt(k8s, job.service, other=other, clock=clock, side=side, **told)
        else:
            original = await self.tools.source.get(SERVICE, job.service.name, job.service.namespace)
            copy = portable(original, dict(await selector_of(self.tools.source, job.service)))
            made = await create_adopted(k8s, copy, other=other, clock=clock, side=side, **told)
        job.remember(made)
        if str(job.service) in job.plan.bounds.full_retry:
            mark = {"metadata": {"annotations": {FULL_RETRY: "true"}}}
            await k8s.patch(SERVICE, leaf_name(job.service.name), mark, job.service.namespace)
        return Result(ending=Ending.DONE)

    async def check(self, job: Job) -> str:
        """It stands adopted."""
        side = side_of(job)
        adopted = await is_adopted(self.tools.cluster(side), job.service)
        return "" if adopted else f"{job.service} is not adopted on the {side.value}"

    async def undo(self, job: Job) -> Result:
        """Take the waypoint out again."""
        side = side_of(job)
        await unadopt(self.tools.cluster(side), job.service, job.receipts, clock=self.tools.clock, side=side)
        return Result(ending=Ending.UNDONE)


def portable(service: Manifest, selector: dict[str, str]) -> Manifest:
    """A Service for another cluster: no addresses, no node ports, its own selector."""
    spec = {
        key: value
        for key, value in service["spec"].items()
        if key not in {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"}
    }
    spec["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in spec["ports"]]
    meta = service["metadata"]
    labels = {k: v for k, v in (meta.get("labels") or {}).items() if not k.startswith("mirror.linkerd.io/")}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"], "labels": labels},
        "spec": {**spec, "selector": selector},
    }


@dataclass(frozen=True, slots=True)
class Split(Executor):
    """Create both switches with all traffic home, and begin to learn the service's levels."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Prepare, on the target first."""
        switches = await self.tools.switches(job)
        missing = [switch for switch in switches.route().switches if not await switches.exists(switch.side)]
        job.remember([Receipt(side=switch.side, ref=switch.ref, prior=None) for switch in missing])
        job.remember(await switches.prepare())
        self.tools.observer.follow(switches.route(), job.plan)
        return Result(ending=Ending.DONE, weight=0)

    async def check(self, job: Job) -> str:
        """Both are there."""
        switches = await self.tools.switches(job)
        return "" if all([await switches.exists(side) for side in Side]) else "a switch is missing"

    async def undo(self, job: Job) -> Result:
        """Delete what was made, put back what was there."""
        await (await self.tools.switches(job)).restore(job.receipts)
        return Result(ending=Ending.UNDONE, weight=0)


@dataclass(frozen=True, slots=True)
class SetWeight(Executor):
    """Set a weight on both switches, then watch for the dwell."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Guarded by law 2, conditional by law 3; how it ends is the observer's word."""
        percent = percent_of(job.act)
        if said := self.tools.observer.crossed(job.service):
            return Result(ending=Ending.ROLL_BACK, reason=said)
        switches = await self.tools.switches(job)
        before = job.state.weight
        live = await switches.expect(tuple(dict.fromkeys((before, percent))))
        lowest = min(weight.percent for weight in live.values())
        refused = partial(not_yet, self.tools, job, switches, live[Side.SOURCE], percent)
        why = await self.tools.wait(job, refused, within=READY_WITHIN) if percent > lowest else ""
        if why:
            return Result(ending=Ending.HELD, reason=why, weight=before)
        if max(weight.percent for weight in live.values()) == 0:
            await switches.prepare()  # home and the lease as this run wants them
            live = await switches.expect((0,))
        job.remember(_prior(switches, live))
        await self.tools.observer.prepare(job.service)
        written = await switches.set(live, percent)
        at = switches.at(percent)
        now = {receipt.side: Weight(percent=at[receipt.side], version=receipt.version) for receipt in written}
        job.say(f"weight {percent} %")
        dwell = float(job.act.args.get("dwell", 60.0))
        marks = set(job.state.done)
        first = not any(a.id in marks for a in acts_of(job.plan, job.service) if a.kind is ActKind.WEIGHT)
        try:
            return await self.tools.observer.watch(
                job, switches, now, percent=percent, previous=before, first=first, dwell=dwell
            )
        except InterruptedActError as asked:  # the weight stays as it is, and `status` has to say so
            return Result(ending=Ending.INTERRUPTED, reason=asked.what, weight=percent)

    async def check(self, job: Job) -> str:
        """Both switches have the weight."""
        switches = await self.tools.switches(job)
        live, wanted = await switches.read(), switches.at(percent_of(job.act))
        wrong = [weight.percent for side, weight in live.items() if weight.percent != wanted[side]]
        return f"the weight is {wrong[0]} %" if wrong else ""

    async def undo(self, job: Job) -> Result:
        """All traffic home, when home can carry it (law 8)."""
        if why := await self.tools.wait(job, lambda: self._source_unready(job), within=READY_WITHIN):
            return Result(ending=Ending.HELD, reason=why)
        self.tools.observer.leave(job.service)
        switches = await self.tools.switches(job)
        try:
            live = await switches.read()
            if any(weight.percent for weight in live.values()):
                job.remember(_prior(switches, live))
                await switches.home(live)
        except NotFoundError:
            await switches.prepare()
        left = await self.tools.wait(job, lambda: self._still_held(job), within=HELD_WITHIN)
        return Result(ending=Ending.UNDONE, weight=0, reason=left)

    async def _still_held(self, job: Job) -> str:
        """What still ends on the target: what is taken back next are its pods. What is not known is not waited for."""
        clusters = {side: self.tools.cluster(side) for side in Side}
        left = await held(clusters, job.service, Side.TARGET)
        if left.unknown and not (left.open or left.sending):
            job.say(f"on the target {left}")
            return ""
        return f"on the target {left}" if left.open or left.sending else ""

    async def _source_unready(self, job: Job) -> str:
        source = (await find_behind(self.tools.source, job.service)).health
        done = (Back.CONSUMERS_OFF, Back.SOURCE_SIZED)  # acts undone before this one, in the order of the agenda
        refusal = may_go_back(Back.WEIGHT_HOME, done=done, source=source, full_size=source.wanted)
        return str(refusal) if refusal else ""


async def not_yet(tools: Tools, job: Job, switches: TwoSided, live: Weight, percent: int) -> str:
    """Law 2: why the target cannot take the next share; a guard may forbid it too."""
    if why := tools.observer.guarded(job.service):
        return why
    behind, at_home, reachable = await asyncio.gather(
        find_behind(tools.target, job.service),
        find_behind(tools.source, job.service),
        _mirrored(tools, job.service),
    )
    target, size = behind.health, at_home.health.wanted
    refusal = may_raise(
        expected=live,
        live=live,
        new=max(percent, live.percent + 1),
        limits=switches.routers[Side.SOURCE].limits,
        target=Health(ready=target.ready, wanted=target.wanted, reachable=reachable),
        size=size,
        agrees=True,
    )
    return str(refusal) if refusal else ""


async def _mirrored(tools: Tools, service: ServiceId) -> bool:
    """Each side's mirror of the other is ready, that is: the other gateway answers for this service."""
    mirrors = [(tools.cluster(side), tools.cluster(side.other).name) for side in Side]
    asked = [endpoints_ready(k8s, service.namespace, mirror_name(service.name, other)) for k8s, other in mirrors]
    return all(await asyncio.gather(*asked))


def _prior(switches: TwoSided, live: dict[Side, Weight]) -> Sequence[Receipt]:
    refs = {switch.side: switch.ref for switch in switches.route().switches}
    return [
        Receipt(side=side, ref=refs[side], prior={"percent": weight.percent}, version=weight.version)
        for side, weight in live.items()
    ]


@dataclass(frozen=True, slots=True)
class Finish(Executor):
    """The target is home: no lease sends traffic back from here on."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """Only with everything on the target."""
        switches = await self.tools.switches(job)
        await switches.expect((100,))
        job.remember(await switches.finish())
        return Result(ending=Ending.DONE, weight=100)

    async def check(self, job: Job) -> str:
        """The weight still is 100."""
        live = await (await self.tools.switches(job)).read()
        return "" if all(weight.percent == 100 for weight in live.values()) else "the weight is not 100 %"

    async def undo(self, job: Job) -> Result:
        """The source is home again, at the weight that stands."""
        switches = await self.tools.switches(job)
        await switches.restore([receipt for receipt in job.receipts if receipt.prior is not None])
        return Result(ending=Ending.UNDONE)


@dataclass(frozen=True, slots=True)
class Soak(Executor):
    """Time at 100 % before the source may shrink; nothing is held meanwhile, so a queue's place is not taken."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """The first time it begins; when the time has passed, it is looked at and ends."""
        await (await self.tools.switches(job)).expect((100,))
        if job.state.phase is not Phase.SOAKING:
            return Result(ending=Ending.BEGUN, reason=f"{float(job.act.args.get('seconds', 0)):g} s at 100 %")
        target = (await find_behind(self.tools.target, job.service)).health
        if target.ready < target.wanted:
            return Result(ending=Ending.HELD, reason=f"the target has {target.ready} of {target.wanted} replicas ready")
        return Result(ending=Ending.DONE)


@dataclass(frozen=True, slots=True)
class Unadopt(Executor):
    """Take the waypoint out of a Service's path; its switch goes first, for it would be obeyed by nobody."""

    tools: Tools

    async def do(self, job: Job) -> Result:
        """The other side may still send traffic here, so the Service stays exported."""
        side = side_of(job)
        k8s = self.tools.cluster(side)
        switches = await self.tools.switches(job)
        if standing := await switches.standing(side, k8s):
            await switches.expect((100 if side is Side.TARGET else 0,))
            job.remember([standing])
            await switches.remove(standing)
        if _is_meshed(job):
            return Result(ending=Ending.DONE)
        adopted = job.receipts_of(sibling(job, ActKind.ADOPT, side))
        await unadopt(k8s, job.service, adopted, clock=self.tools.clock, side=side, keep_export=True)
        return Result(ending=Ending.DONE)

    async def check(self, job: Job) -> str:
        """It stands without us."""
        side = side_of(job)
        if _is_meshed(job):
            standing = await (await self.tools.switches(job)).exists(side)
            return f"the switch of {job.service} is still there on the {side.value}" if standing else ""
        adopted = await is_adopted(self.tools.cluster(side), job.service)
        return f"{job.service} is adopted on the {side.value}" if adopted else ""

    async def undo(self, job: Job) -> Result:
        """Adopt again, then the switch as it was."""
        side = side_of(job)
        k8s, other = self.tools.cluster(side), self.tools.cluster(side.other).name
        stated = sibling_args(job, ActKind.ADOPT).get("protocols")
        if not _is_meshed(job):
            await adopt(k8s, job.service, other=other, clock=self.tools.clock, side=side, protocols=stated)
        switches = await self.tools.switches(job)
        if not await switches.exists(side):
            await switches.restore([receipt for receipt in job.receipts if receipt.prior is not None])
        return Result(ending=Ending.UNDONE)


def _is_meshed(job: Job) -> bool:
    """Whether the act is one without a waypoint."""
    return "plane" in job.act.args
