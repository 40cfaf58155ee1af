"""Flagger's part: Canaries over the waypoint that landbridge has put in front of their services."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.flagger import objects
from benchmarks.flagger.cases import Case, End
from benchmarks.flagger.objects import NAMESPACE
from landbridge.clients.kinds import Kind
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, DeadlineError, wait_for
from landbridge.connect.adopt import adopt
from landbridge.lab.host.programs import Say
from landbridge.model.service import Manifest, ServiceId

CANARY = Kind("flagger.app/v1beta1", "Canary", "canaries")
ENDS = {"Succeeded": End.ACROSS, "Failed": End.BACK}
MANAGER = "owner"
TOGETHER = 3
"""Services that are adopted at the same time."""
FIRST = 480.0
"""Seconds for Flagger's own preparation, which takes two or three of its intervals, more where pods start slowly."""

BLIND = "no values"
_HALT = re.compile(r"^Halt (\S+ )?advancement (?P<metric>[\w-]+) ")


def halts(log: Iterable[str]) -> Counter[str]:
    """How many checks failed by which metric, from Flagger's log; BLIND are those that had nothing to go by (pure)."""
    found: Counter[str] = Counter()
    for line in log:
        message = str(json.loads(line).get("msg", "")) if line.startswith("{") else ""
        if "no values found" in message or "query failed" in message:
            found[BLIND] += 1
        elif halt := _HALT.match(message):
            found[halt["metric"]] += 1
    return found


@dataclass(frozen=True, kw_only=True)
class Theirs:
    """The services that Flagger releases; `other` is the other cluster's name, `within` bounds their ramps (s)."""

    cases: tuple[Case, ...]
    k8s: Kubernetes
    other: str
    prometheus: str
    image: str
    within: float
    clock: Clock
    say: Say
    told: dict[str, str] = field(default_factory=dict)

    async def prepare(self) -> None:
        """Canaries, until Flagger has made its primaries and the routes to them; then the waypoint in front of all."""
        for name, query, _ in objects.METRICS:
            await self.k8s.apply(objects.template(name, query, self.prometheus), manager=MANAGER)
        for case in self.cases:
            await self.k8s.apply(objects.canary(case), manager=MANAGER)
        await self._until({"Initialized"}, within=FIRST)
        gate = asyncio.Semaphore(TOGETHER)

        async def one(case: Case) -> None:
            async with gate:
                await self.k8s.apply(objects.service(case), manager=MANAGER)
                service = ServiceId(NAMESPACE, objects.called(case))
                await adopt(self.k8s, service, other=self.other, clock=self.clock)

        await asyncio.gather(*(one(case) for case in self.cases))

    async def ramp(self) -> Mapping[Case, End]:
        """The owners release the new copies, all at once; how each ended, OPEN for those that have not in time."""
        new = [objects.deployment(case, self.image, objects.fail_of(case)) for case in self.cases]
        await asyncio.gather(*(self.k8s.apply(manifest, manager=MANAGER) for manifest in new))
        try:
            phases = await self._until(set(ENDS), within=self.within)
        except DeadlineError as error:
            self.say(error.what)
            phases = {item["metadata"]["name"]: item["status"]["phase"] for item in await self._canaries()}
        return {case: ENDS.get(phases.get(case.name, ""), End.OPEN) for case in self.cases}

    async def _until(self, wanted: Collection[str], *, within: float) -> Mapping[str, str]:
        names = {case.name for case in self.cases}

        async def all_are() -> dict[str, str] | None:
            found = {item["metadata"]["name"]: item.get("status") or {} for item in await self._canaries()}
            phases = {name: str(status.get("phase", "")) for name, status in found.items() if name in names}
            self._tell(found)
            return phases if len(phases) == len(names) and set(phases.values()) <= set(wanted) else None

        what = f"all Canaries {' or '.join(sorted(wanted))}"
        return await wait_for(all_are, what=what, within=within, clock=self.clock, every=1.0)

    async def _canaries(self) -> list[Manifest]:
        return list(await self.k8s.list(CANARY, NAMESPACE))

    def _tell(self, found: Mapping[str, Mapping[str, object]]) -> None:
        for name, status in sorted(found.items()):
            if name not in {case.name for case in self.cases}:
                continue
            text = (
                f"{status.get('phase')} at {status.get('canaryWeight')} %, {status.get('failedChecks')} failed checks"
            )
            if self.told.get(name) != text:
                self.told[name] = text
                self.say(f"  Flagger {name} {text}")
