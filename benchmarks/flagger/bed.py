"""The whole measurement: one lab, one namespace, one waypoint; the ramps of a rule run at the same time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.flagger import metrics, objects, program
from benchmarks.flagger.cases import Case, End, Rule, Run, read
from benchmarks.flagger.objects import NAMESPACE
from benchmarks.flagger.ours import Ours
from benchmarks.flagger.theirs import Theirs
from landbridge.clients.kinds import DEPLOYMENT, POD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, wait_for
from landbridge.connect.connect import connect, is_rolled_out
from landbridge.connect.options import Options
from landbridge.errors import LandbridgeError
from landbridge.lab.demo.load import NAMESPACE as CALLERS
from landbridge.lab.demo.load import Callers
from landbridge.lab.host.programs import Say
from landbridge.lab.lab import Lab, up
from landbridge.lab.load.target import Mode, Target

BEFORE = 10.0
"""Seconds of load before the first weight: the bed itself must not fail a request."""
AFTER = 5.0
LOG = "flagger.log"


class Part(Protocol):
    """The services that one rule watches."""

    @property
    def cases(self) -> tuple[Case, ...]:
        """Its ramps."""
        ...

    async def prepare(self) -> None:
        """Everything up to the first weight."""
        ...

    async def ramp(self) -> Mapping[Case, End]:
        """All ramps to their ends."""
        ...


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What a load generator has written, a line a second and the summary."""
    found = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return [line for line in found if line["line"] in {"second", "summary"}]


@dataclass(frozen=True, kw_only=True)
class Bed:
    """What a measurement runs on."""

    lab: Lab
    legacy: Kubernetes
    eks: Kubernetes
    cases: tuple[Case, ...]
    rate: float
    folder: Path
    clock: Clock
    say: Say

    async def measure(self, parts: Sequence[Part]) -> list[Run]:
        """Prepare all parts at once, then their ramps, part by part."""
        self.say("Flagger makes its primaries; the waypoint is put in front of all services")
        await asyncio.gather(*(part.prepare() for part in parts))
        return [run for part in parts for run in await self._ramps(part)]

    async def _ramps(self, part: Part) -> list[Run]:
        """Load on the part's services alone; all its ramps begin together."""
        folder = self.folder / f"load-{part.cases[0].rule.key}"
        callers = Callers(folder, self.lab.images["landbridge"], self.clock, [])
        self.say(f"{part.cases[0].rule.title}: {self.rate:g} requests/s to each of {len(part.cases)} services")
        await callers.start(self.legacy, [self._target(case) for case in part.cases])
        await self.clock.sleep(BEFORE)
        self._check_bed(callers)
        ends = await part.ramp()
        await self.clock.sleep(AFTER)
        await callers.stop()
        await wait_for(self._quiet, what="the callers are gone", within=120, clock=self.clock)
        lines = read_lines(folder / self.legacy.name / "load.jsonl")
        found = [read(case, ends[case], lines) for case in part.cases]
        for run in found:
            self.say(f"  {run.case.name}: {run.end}, {run.bad} bad of {run.served}, {run.other} failed otherwise")
        return found

    def part(self, rule: Rule, prometheus: str) -> Part:
        """The services of one rule."""
        cases = tuple(case for case in self.cases if case.rule == rule)
        if rule.flagger:
            return Theirs(
                cases=cases, k8s=self.legacy, other=self.eks.name, prometheus=prometheus, within=rule.longest + 180,
                image=self.lab.images["python"], clock=self.clock, say=self.say,
            )  # fmt: skip
        return Ours(
            cases=cases, legacy=self.legacy, eks=self.eks, image=self.lab.images["landbridge"],
            folder=self.folder / "migration", clock=self.clock, say=self.say,
        )  # fmt: skip

    async def _quiet(self) -> bool:
        return await self.legacy.find(POD, "load", CALLERS) is None

    def _target(self, case: Case) -> Target:
        host = f"{objects.called(case)}.{NAMESPACE}"
        return Target(name=case.name, mode=Mode.HTTP, host=host, port=80, rate=self.rate)

    def _check_bed(self, callers: Callers) -> None:
        now = callers.now()
        if now.get("failed") or now.get("failed_by_broken_copy") or set(now.get("sides", ())) != {"old"}:
            raise LandbridgeError(f"the bed itself fails: {json.dumps(now)}", where=str(self.folder / "load"))

    async def lay(self) -> None:
        """Kinds, namespace, programs, gateways and waypoints, and the old copies of all services."""
        for k8s in (self.legacy, self.eks):
            await program.define(k8s, flagger=k8s is self.legacy, say=self.say, clock=self.clock)
            await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            await k8s.apply(objects.program())
        ours, image = self.lab.images["landbridge"], self.lab.images["python"]
        # one of each: what is measured is not their failing, and a small machine has the load to carry
        options = Options(namespaces=(NAMESPACE,), image=ours, waypoint_pods=1, gateway_pods=1, workers=1)
        await connect(self.legacy, self.eks, options)
        for case in self.cases:
            await self.legacy.apply(objects.deployment(case, image), manager="owner")
            if not case.rule.flagger:
                await self.legacy.apply(objects.service(case), manager="owner")
        await wait_for(self._served, what="the old copies are ready", within=300, clock=self.clock, every=1.0)

    async def _served(self) -> bool:
        found = {item["metadata"]["name"]: item for item in await self.legacy.list(DEPLOYMENT, NAMESPACE)}
        return all(is_rolled_out(found[case.name]) for case in self.cases)


@asynccontextmanager
async def bed(
    cases: Sequence[Case], *, rate: float, index: int | None, folder: Path, clock: Clock, say: Say
) -> AsyncIterator[tuple[Bed, list[Part]]]:
    """A lab with everything laid and Flagger started, and a part for each rule, the quickest first."""
    flagger = await program.provide(say=say, clock=clock)
    async with AsyncExitStack() as stack:
        lab = await stack.enter_async_context(up(index=index, say=say, clock=clock))
        legacy, eks = [
            await stack.enter_async_context(Kubernetes.connect(place.kubeconfig, name=place.name, clock=clock))
            for place in lab.clusters
        ]
        made = Bed(lab=lab, legacy=legacy, eks=eks, cases=tuple(cases), rate=rate, folder=folder, clock=clock, say=say)
        await made.lay()
        exporter = metrics.Exporter(legacy, NAMESPACE)
        prometheus = await stack.enter_async_context(metrics.prometheus(exporter, folder, say=say, clock=clock))
        config = lab.cluster(legacy.name).kubeconfig
        await stack.enter_async_context(program.running(flagger, config, prometheus, NAMESPACE, folder / LOG))
        rules = sorted({case.rule for case in cases}, key=lambda rule: rule.longest)
        yield made, [made.part(rule, prometheus) for rule in rules]
