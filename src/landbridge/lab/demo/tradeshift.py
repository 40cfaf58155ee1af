"""Tradeshift's migration at their size: 409 services move from `legacy` to `eks`, where 51 stand already, under load.

Everything is mirrored both ways first. The shop's nine ramp under the judge; the others have one or two requests a
second each, at which nothing can be decided at any share, so they flip from 0 to 100 and are watched there. On the way
25 go back and forth. Callers are services too, so most of them follow; then the old cluster shrinks to nothing, and
landbridge leaves no trace in either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.text import Text

from landbridge.clients.kinds import DEPLOYMENT, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, rfc3339, wait_for
from landbridge.connect.gateways import gateways
from landbridge.errors import LandbridgeError
from landbridge.lab.cluster.reach import wait_reachable
from landbridge.lab.databases import Databases
from landbridge.lab.demo.crowd import Crowd
from landbridge.lab.demo.programs import Landbridge, Say
from landbridge.lab.demo.setting import migration_of_many
from landbridge.lab.lab import Lab
from landbridge.lab.landscape import objects
from landbridge.lab.landscape import program as landscapes
from landbridge.lab.landscape.services import COUNT, PLATFORM, Member, Name, flipped, members, platform
from landbridge.lab.shop.deploy import deploy
from landbridge.lab.shop.traffic import SHARES
from landbridge.lab.shop.traffic import targets as shop_targets
from landbridge.model.journal import Outcome, Phase
from landbridge.model.service import ServiceId
from landbridge.plan.document import load
from landbridge.run.burnup import burn_up
from landbridge.run.journal import FOLDER, Journal

GUESTS = 0.125  # of the requests: from the cluster that has few callers; those of the other keep their connections
BUILT_RATE = 3.0  # requests a second to each of those that stand in eks already, from there
ACROSS_RATE = 1.0  # and from legacy
SHOP_RATE = 24.0  # requests a second to the shop; one of them is several between its services
VISITS = {**SHARES, "web": 15}  # at one visit a second nothing could be compared at 10 or 95 % for a minute
STREAMS = 1  # held open from each cluster; ten that end just after a change outweigh all other requests to `notices`
RATE = 540.0  # requests a second to the landscape
ENOUGH = 500_000  # requests of all callers, at that rate and of all services: on a fast machine they go on for so long
PREPARED = 2  # waves that move nothing: ground and join
FIRST = 4  # the last wave before services go back and forth


@dataclass
class Tradeshift:
    """One performance, phase by phase. `rate` is requests a second to the landscape, from both clusters together."""

    lab: Lab
    legacy: Kubernetes
    eks: Kubernetes
    folder: Path
    say: Say
    clock: Clock
    count: int = COUNT
    rate: float = RATE
    seconds: dict[str, float] = field(default_factory=dict)
    table: list[dict[str, Any]] = field(default_factory=list)
    mirrors: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.members: tuple[Member, ...] = members(self.count)
        self.flips = flipped(self.members)
        self.crowd = Crowd(self.folder / "load", self.lab.images["landbridge"], self.clock)
        self._log = self.folder / "demo.log"
        self.bridge = Landbridge(self.folder, self.lab.kubeconfig, self._note)

    async def play(self) -> dict[str, Any]:
        """All phases; returns what goes into demo.json."""
        phases: tuple[tuple[str, Callable[[], Awaitable[None]]], ...] = (
            ("deploy", self.deploy),
            ("plan", self.plan),
            ("connect", self.connect),
            ("join", self.join),
            ("first waves", self.move_first),
            ("back and forth", self.flip),
            ("all others", self.move_all),
            ("callers", self.follow),
            ("leave", self.leave),
            ("retire", self.retire),
            ("disconnect", self.disconnect),
        )
        for name, phase in phases:
            await self.timed(name, phase)
        return self.summary()

    async def timed(self, name: str, phase: Callable[[], Awaitable[None]]) -> None:
        """One phase, with what it took and what the callers have seen by its end."""
        self.say(f"\n[bold cyan]{rfc3339(self.clock.now())[11:19]} {name}[/bold cyan]")
        began = self.clock.monotonic()
        try:
            await phase()
        finally:
            self.seconds[name] = round(self.clock.monotonic() - began, 1)
            now = self.crowd.count()
            told = f"{now['requests']:,} requests, {now['failed']} failed, {now['late']} sent late"
            self.say(f"{self.seconds[name]:g} s; the callers: {told}")

    async def deploy(self) -> None:
        """Both clusters as they are before anybody thinks of moving, with callers in both."""
        databases = self.lab.databases
        if databases is None:
            raise LandbridgeError("the lab has no databases", advice="bring it up with --databases")
        await self.lab.load_image(await landscapes.provide_archive(self.say))
        await self.legacy.apply(_namespace(PLATFORM))
        await asyncio.gather(
            landscapes.deploy(self.legacy, objects.landscape(self.members), clock=self.clock),
            landscapes.deploy(self.eks, objects.building(), clock=self.clock),
            self._deploy_shop(databases),
        )
        await asyncio.gather(
            wait_reachable(self.legacy, self.lab.cluster(self.legacy.name), self._spaces()),
            wait_reachable(self.eks, self.lab.cluster(self.eks.name), [PLATFORM]),
        )
        shop = shop_targets(SHOP_RATE * (1 - GUESTS), shares=VISITS, streams=STREAMS)
        await asyncio.gather(
            self.crowd.start(self.legacy, "landscape", self._targets(self.rate * (1 - GUESTS))),
            self.crowd.start(self.legacy, "shop", shop, plain=False),
            self.crowd.start(self.eks, "platform", landscapes.targets(platform(), BUILT_RATE)),
        )

    def _spaces(self) -> list[str]:
        """The namespaces of what moves."""
        return sorted({member.name.namespace for member in self.members} | {"shop"})

    async def _deploy_shop(self, databases: Databases) -> None:
        """The shop, with the label by which its services are exported."""
        mark = {"metadata": {"labels": {objects.EXPORTED: "true"}}}
        for item in await deploy(self.legacy, databases, self.lab.images["shop"], clock=self.clock):
            if item["kind"] == SERVICE.kind:
                await self.legacy.patch(SERVICE, item["metadata"]["name"], mark, "shop", manager="shop-team")

    async def plan(self) -> None:
        """The documents, each in seconds."""
        asked = [word for space in (*self._spaces(), PLATFORM) for word in ("-n", space)]
        await self.bridge.run("init", "--source", self.legacy.name, "--target", self.eks.name, *asked)
        settings = self.folder / "migration.yaml"
        date = rfc3339(self.clock.now())[:10]
        image = self.lab.images["landbridge"]
        settings.write_text(migration_of_many(settings.read_text(), image=image, date=date))
        for command in ("inventory", "assess", "plan"):
            began = self.clock.monotonic()
            await self.bridge.run(command)
            self.seconds[f"landbridge {command}"] = round(self.clock.monotonic() - began, 1)

    async def connect(self) -> None:
        """Joined, and every service mirrored on the other side: the table of the report."""
        await self.bridge.run("connect")
        exported = {self.legacy.name: self.count + 9, self.eks.name: len(platform())}

        async def whole() -> bool:
            rows = await self._gateways()
            return all(row.alive and row.services == row.ready == exported[row.cluster] for row in rows)

        await wait_for(whole, what="every mirror to answer", within=240, clock=self.clock, every=2.0)
        self.table = await self.bridge.read("gateways")
        for row in self.table:
            latency = row["latency_ms"]
            self.say(f"  {row['cluster']:8s} alive {row['alive']}  NUM_SVC {row['services']}  p50 {latency['p50']} ms")
        self.mirrors = {row["cluster"]: row["services"] for row in self.table}
        across = landscapes.targets(platform(), ACROSS_RATE, suffix=f"-{self.eks.name}")
        await self.crowd.start(self.legacy, "across", across)

    async def _gateways(self) -> Any:
        return await gateways(self.legacy, self.eks)

    async def join(self) -> None:
        """Adopted on both sides, nothing moves; callers in eks use the same names from now on."""
        await self.bridge.run("run", "--wave", str(PREPARED), "--yes")
        await self.crowd.start(self.eks, "landscape", self._targets(self.rate * GUESTS))
        await self.crowd.start(
            self.eks, "shop", shop_targets(SHOP_RATE * GUESTS, run="guest", shares=VISITS, streams=STREAMS), plain=False
        )

    async def move_first(self) -> None:
        """The waves that others call."""
        await self.bridge.run("run", "--wave", str(FIRST), "--yes")

    async def flip(self) -> None:
        """Some go back, under load, and forth again."""
        names = [f"{name.namespace}/{name.name}" for name in self.flips]
        await self.bridge.run("rollback", *names)
        self._expect(0, self.flips)
        await self.bridge.run("run", "--wave", str(FIRST), "--yes")
        self._expect(100, self.flips)

    async def move_all(self) -> None:
        """All other waves that move something."""
        plan = load((self.folder / "plan.yaml").read_text())
        await self.bridge.run("run", "--wave", str(len(plan.waves) - 1), "--yes")
        self._expect(100, [member.name for member in self.members])

    async def follow(self) -> None:
        """Callers follow what they call: as few stay in the old cluster as were in the new one."""
        await asyncio.gather(
            self.crowd.start(self.eks, "landscape-moved", self._targets(self.rate * (1 - GUESTS))),
            self.crowd.start(self.legacy, "landscape-left", self._targets(self.rate * GUESTS)),
        )
        await self.crowd.stop(f"{self.legacy.name}/landscape", f"{self.eks.name}/landscape")

    async def leave(self) -> None:
        """The source shrinks to nothing, and the target needs no waypoint any more."""
        await self.bridge.run("run", "--yes")
        left = [
            item["metadata"]["name"]
            for space in self._spaces()
            for item in await self.legacy.list(DEPLOYMENT, space)
            if item["spec"].get("replicas", 1) and not item["metadata"]["name"].startswith("landbridge-")
        ]
        if left:
            raise LandbridgeError(f"these still run in {self.legacy.name}: {', '.join(left)}")

    async def retire(self) -> None:
        """The last callers of the old cluster end; landbridge leaves its path."""
        await self.crowd.stop(*(name for name in self.crowd.now if name.startswith(f"{self.legacy.name}/")))
        await self.bridge.run("retire", "--for", "5s", "--yes")

    async def disconnect(self) -> None:
        """Nothing is left behind, and the new cluster's callers notice nothing."""
        await self.bridge.run("disconnect")
        await self.bridge.run("report")
        enough = ENOUGH * self.count / COUNT * self.rate / RATE

        async def asked() -> bool:
            return bool(self.crowd.count()["requests"] >= enough)

        await wait_for(asked, what=f"{enough:,.0f} requests", within=1800, clock=self.clock, every=1.0)
        await self.crowd.stop()
        if left := await self.bridge.read("disconnect", "--dry-run"):
            raise LandbridgeError(f"this is left: {left}")

    def summary(self) -> dict[str, Any]:
        """What happened, in numbers."""
        counted = self.crowd.count()
        with self._journal() as journal:
            states = {s: state for s, (_, state) in journal.states().items() if s.name != "*"}
            entries = journal.entries()
            burned = burn_up(entries)
        moved = [s for s, state in states.items() if state.phase is Phase.DONE and state.weight == 100]
        back = {e.service for e in entries if e.outcome is Outcome.UNDONE and "/weight-" in e.act}
        began = burned[0][0] if burned else 0.0
        return {
            "requests": counted["requests"],
            "failed": counted["failed"],
            "services": len(states),
            "moved": len(moved),
            "flips": {"services": len(back), "back_and_forth": 2 * len(back)},
            "mirrors": self.mirrors,
            "gateways": self.table,
            "seconds_by_phase": self.seconds,
            "burn_up": [[round(at - began, 1), home] for at, home in burned],
            "acts": sum(e.outcome is Outcome.STARTED for e in entries),
            "late": counted["late"],
            "failures": self.crowd.failures(),
            "generators": self.crowd.by_generator(),
        }

    def _targets(self, rate: float) -> Any:
        return landscapes.targets((member.name for member in self.members), rate / len(self.members))

    def _expect(self, weight: int, names: Iterable[Name]) -> None:
        with self._journal() as journal:
            states = {service: state for service, (_, state) in journal.states().items()}
        wrong = [
            f"{name.host} ({states[service].phase}, {states[service].weight} %)"
            for name in names
            if states[service := ServiceId(name.namespace, name.name)].weight != weight
        ]
        if wrong:
            raise LandbridgeError(f"not at {weight} %: {', '.join(wrong)}", where=str(self.folder))

    def _journal(self) -> Journal:
        return Journal(self.folder / FOLDER / "journal.db")

    def _note(self, line: str) -> None:
        """What landbridge prints of hundreds of services goes into a file."""
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{rfc3339(self.clock.now())[11:19]} {Text.from_markup(line)}\n")


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
