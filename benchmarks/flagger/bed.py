"""The whole measurement: one lab, one namespace, one waypoint, all ramps side by side under the same load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.flagger import metrics, objects, program
from benchmarks.flagger.cases import Case, End, Run, read
from benchmarks.flagger.objects import NAMESPACE
from benchmarks.flagger.ours import Ours
from benchmarks.flagger.theirs import Theirs
from landbridge.clients.kinds import DEPLOYMENT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, wait_for
from landbridge.connect.connect import connect, is_rolled_out
from landbridge.connect.options import Options
from landbridge.errors import LandbridgeError
from landbridge.lab.demo.load import Callers
from landbridge.lab.host.programs import Say
from landbridge.lab.lab import Lab, up
from landbridge.lab.load.target import Mode, Target

BEFORE = 10.0
"""Seconds of load before the first weight: the bed itself must not fail a request."""
AFTER = 5.0
LOG = "flagger.log"


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

    async def measure(self, theirs: Theirs, ours: Ours, prometheus: str, within: float) -> list[Run]:
        """Prepare everybody, load, let everybody begin at once, wait for all, count."""
        self.say("Flagger makes its primaries; the waypoint is put in front of all services")
        await asyncio.gather(self._flagger(theirs, prometheus), ours.join())
        callers = Callers(self.folder / "load", self.lab.images["landbridge"], self.clock, [])
        self.say(f"load: {self.rate:g} requests/s to each of {len(self.cases)} services")
        await callers.start(self.legacy, [self._target(case) for case in self.cases])
        await self.clock.sleep(BEFORE)
        self._check_bed(callers)
        self.say("the new copies begin")
        ends = await self._ramps(theirs, ours, within)
        await self.clock.sleep(AFTER)
        await callers.stop()
        lines = self.lines()
        return [read(case, ends[case], lines) for case in self.cases]

    async def _flagger(self, theirs: Theirs, prometheus: str) -> None:
        await theirs.prepare(prometheus)
        await theirs.adopt(self.eks.name)

    async def _ramps(self, theirs: Theirs, ours: Ours, within: float) -> Mapping[Case, End]:
        _, there, here = await asyncio.gather(theirs.release(), theirs.ended(within), ours.move())
        return {**there, **here}

    def _target(self, case: Case) -> Target:
        host = f"{objects.called(case)}.{NAMESPACE}"
        return Target(name=case.name, mode=Mode.HTTP, host=host, port=80, rate=self.rate)

    def _check_bed(self, callers: Callers) -> None:
        now = callers.now()
        if now.get("failed") or now.get("failed_by_broken_copy") or set(now.get("sides", ())) != {"old"}:
            raise LandbridgeError(f"the bed itself fails: {json.dumps(now)}", where=str(self.folder / "load"))

    def lines(self) -> list[dict[str, Any]]:
        """What the load generator has written, a line a second and the summary."""
        text = (self.folder / "load" / self.legacy.name / "load.jsonl").read_text()
        found = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
        return [line for line in found if line["line"] in {"second", "summary"}]

    async def lay(self) -> None:
        """Kinds, namespace, programs, gateways and waypoints, and the old copies of all services."""
        for k8s in (self.legacy, self.eks):
            await program.define(k8s, flagger=k8s is self.legacy, say=self.say, clock=self.clock)
            await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            await k8s.apply(objects.program())
        await connect(self.legacy, self.eks, Options(namespaces=(NAMESPACE,), image=self.lab.images["landbridge"]))
        image = self.lab.images["python"]
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
) -> AsyncIterator[tuple[Bed, Theirs, Ours, str]]:
    """A lab with everything laid and Flagger started; the last is Prometheus' address."""
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
        image = lab.images["python"]
        theirs = Theirs(cases=tuple(c for c in cases if c.rule.flagger), k8s=legacy, image=image, clock=clock, say=say)
        ours = Ours(
            cases=tuple(c for c in cases if not c.rule.flagger),
            legacy=legacy,
            eks=eks,
            image=lab.images["landbridge"],
            folder=folder / "migration",
            clock=clock,
            say=say,
        )
        yield made, theirs, ours, prometheus
