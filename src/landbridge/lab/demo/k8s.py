"""The demo of a Kubernetes platform that moves: everything goes across, one copy is broken, the runner dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, DeadlineError, rfc3339, wait_for
from landbridge.errors import LandbridgeError
from landbridge.judge import power
from landbridge.lab.cluster.reach import wait_reachable
from landbridge.lab.demo.load import Callers
from landbridge.lab.demo.programs import Landbridge, Say
from landbridge.lab.demo.setting import DWELL, Accept, apply_again, break_copy, migration_yaml
from landbridge.lab.lab import Lab
from landbridge.lab.shop.deploy import deploy
from landbridge.lab.shop.traffic import targets
from landbridge.lab.shop.wire.fault import SOUND, Fault
from landbridge.model.journal import Phase, State
from landbridge.model.service import Manifest, ServiceId, Side
from landbridge.run.journal import FOLDER, Journal

BROKEN = ServiceId("shop", "payments")
FAIL = 0.2
GUESTS = 0.3  # of the requests: from callers that are in eks from the start
BASE_RATE = 0.001  # where no failure was seen on the old side, B* takes it as this
ACCEPTED = (
    Accept(check="metrics-api", reason="the lab has no metrics server; catalog's autoscaler stays at its minimum"),
)


def in_between(states: dict[ServiceId, State]) -> list[ServiceId]:
    """Services with a share on each side."""
    return [service for service, state in states.items() if 5 < state.weight < 100]


@dataclass(slots=True)
class Demo:
    """One performance. `say` prints a line; `folder` becomes the migration's folder."""

    lab: Lab
    folder: Path
    say: Say
    clock: Clock
    rate: float = 210.0
    shop: list[Manifest] = field(default_factory=list)
    rolled_back: set[str] = field(default_factory=set)

    async def play(self) -> dict[str, Any]:
        """All scenes; returns what goes into demo.json."""
        began = self.clock.monotonic()
        old, new = self.lab.clusters
        async with (
            Kubernetes.connect(old.kubeconfig, name=old.name) as legacy,
            Kubernetes.connect(new.kubeconfig, name=new.name) as eks,
        ):
            callers = Callers(self.folder / "load", self.lab.images["landbridge"], self.clock, [])
            try:
                await self._scenes(legacy, eks, callers)
            except BaseException:
                with suppress(LandbridgeError):  # what went wrong first is what is told
                    await callers.stop()
                raise
            return self._summary(await callers.stop(), callers, began)

    async def _scenes(self, legacy: Kubernetes, eks: Kubernetes, callers: Callers) -> None:
        databases = self.lab.databases
        if databases is None:
            raise LandbridgeError("the lab has no databases", advice="bring it up with --databases")
        self._scene(f"the shop runs in {legacy.name}, and customers use it")
        self.shop = await deploy(legacy, databases, self.lab.images["shop"], clock=self.clock)
        await wait_reachable(legacy, self.lab.cluster(legacy.name), ["shop"])
        await callers.start(legacy, targets(self.rate * (1 - GUESTS)))
        bridge = Landbridge(self.folder, self.lab.kubeconfig, self.say)
        await self._prepare(bridge, legacy, eks)
        self._scene(f"callers in {eks.name} as well: they reach the shop in {legacy.name} through the gateways")
        await callers.start(eks, targets(self.rate * GUESTS))
        self._scene(f"the new copy of {BROKEN} is broken: it fails {FAIL:.0%} of its requests")
        await break_copy(databases, BROKEN.name, eks.name, Fault(fail=FAIL))
        await self._move_with_trouble(bridge, legacy, callers)
        self._expect(lambda s: s.phase is Phase.ROLLED_BACK, [BROKEN])
        self.rolled_back.add(str(BROKEN))
        self._tell_load(callers)
        self._scene(f"{BROKEN} is mended and moves")
        await break_copy(databases, BROKEN.name, eks.name, SOUND)
        await bridge.run("run", "--yes")
        self._expect_side(Side.TARGET)
        self._tell_load(callers)
        self._scene(f"everything home again, under load: {legacy.name} serves")
        await bridge.run("rollback", "--all")
        self._expect_side(Side.SOURCE)
        self._tell_load(callers)
        self._scene("and across again")
        await bridge.run("run", "--yes")
        self._expect_side(Side.TARGET)
        await bridge.run("report")

    async def _prepare(self, bridge: Landbridge, legacy: Kubernetes, eks: Kubernetes) -> None:
        self._scene("what is there, what would go wrong, and the plan")
        await bridge.run("init", "--source", legacy.name, "--target", eks.name, "-n", "shop")
        settings = self.folder / "migration.yaml"
        date = rfc3339(self.clock.now())[:10]
        image = self.lab.images["landbridge"]
        settings.write_text(migration_yaml(settings.read_text(), image=image, date=date, accepted=ACCEPTED))
        for command in ("inventory", "assess", "plan"):
            await bridge.run(command)
        self._tell_power()
        self._scene("the two clusters are joined; the ground is laid: nothing moves yet")
        await bridge.run("connect")
        await bridge.run("run", "--wave", "2", "--yes")

    def _tell_power(self) -> None:
        for rate in (20.0, 50.0):
            seen = [power.detectable_ratio(rate * DWELL, share, BASE_RATE) for share in (0.05, 0.25, 0.5)]
            said = ", ".join(f"{ratio:.0f}x" if ratio else "nothing" for ratio in seen)
            self.say(f"dwells of {DWELL:g} s at {rate:g} requests/s show a new side that fails more often by: {said}")

    async def _move_with_trouble(self, bridge: Landbridge, legacy: Kubernetes, callers: Callers) -> None:
        """The first run: payments goes home; killed in the middle, started again, an owner deploys in the middle."""
        self._scene(f"the shop moves; {BROKEN} has to come home, then the runner is killed in the middle")
        first = await bridge.start("run", "--yes")
        talking = asyncio.create_task(bridge.finish(first))
        await self._until(
            lambda states: BROKEN in states and states[BROKEN].phase is Phase.ROLLED_BACK and in_between(states),
            talking,
        )
        self._tell_load(callers)
        self.say("[bold]$ kill -9[/bold]")
        await bridge.kill(first)
        with suppress(LandbridgeError):
            await talking
        self._scene("and started again: it goes on where it was")
        second = await bridge.start("run", "--yes")
        talking = asyncio.create_task(bridge.finish(second))
        await self._until(lambda states: bool(in_between(states)), talking)
        moving = next(iter(in_between(self._states())))
        manifest = next(m for m in self.shop if m["kind"] == SERVICE.kind and m["metadata"]["name"] == moving.name)
        self.say(f"[bold]the owner of {moving} deploys it again in {legacy.name}[/bold]")
        await apply_again(legacy, manifest)
        if (code := await talking) != 5:
            raise LandbridgeError(f"the run ended with {code}, not 5 (rolled back by the judge)")

    async def _until(self, condition: Callable[[dict[ServiceId, State]], object], talking: asyncio.Task[int]) -> None:
        async def so() -> bool:
            if talking.done():
                raise DeadlineError("the run ended too early")
            return bool(condition(self._states()))

        await wait_for(so, what="the shop to be on the way", within=400, clock=self.clock, every=0.2)

    def _states(self) -> dict[ServiceId, State]:
        path = self.folder / FOLDER / "journal.db"
        if not path.exists():
            return {}
        with Journal(path) as journal:
            return {s: state for s, (_, state) in journal.states().items() if s.name != "*"}

    def _resumed(self) -> int:
        """How often a runner took over from one that had died, as the journal has it."""
        with Journal(self.folder / FOLDER / "journal.db") as journal:
            return int(journal.fact("resumed") or 0)

    def _expect_side(self, side: Side) -> None:
        self._expect(lambda state: state.weight == (100 if side is Side.TARGET else 0), list(self._states()))

    def _expect(self, right: Callable[[State], bool], services: list[ServiceId]) -> None:
        states = self._states()
        wrong = [f"{s} ({states[s].phase}, {states[s].weight} %)" for s in services if not right(states[s])]
        if wrong:
            raise LandbridgeError(f"not as it should be: {', '.join(wrong)}", where=str(self.folder))

    def _scene(self, text: str) -> None:
        self.say(f"\n[bold cyan]{rfc3339(self.clock.now())[11:19]} {text}[/bold cyan]")

    def _tell_load(self, callers: Callers) -> None:
        now = callers.now()
        self.say(
            f"the callers: {now['requests']:,} requests, {now['failed']} failed, "
            f"{now['failed_by_broken_copy']} failed by the broken copy; served by {json.dumps(now['sides'])}"
        )

    def _summary(self, counted: dict[str, Any], callers: Callers, began: float) -> dict[str, Any]:
        states = self._states()
        old, new = self.lab.clusters
        return {
            "requests": counted.get("requests", 0),
            "failed": counted.get("failed", 0),
            "failed_by_broken_copy": counted.get("failed_by_broken_copy", 0),
            "b_star": round(power.b_star(FAIL / BASE_RATE), 2),
            "rolled_back": sorted(self.rolled_back),
            "resumed": self._resumed(),
            "services": {str(s): new.name if state.weight == 100 else old.name for s, state in sorted(states.items())},
            "seconds": round(self.clock.monotonic() - began, 1),
            "reconnects": counted.get("reconnects", 0),
            "late": counted.get("late", 0),
            "failures": callers.failures(),
            "load": counted,
        }
