"""The agent of a gateway: every one feeds its own Envoy; the elected one also does the cluster's duties."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from landbridge.agent import names
from landbridge.agent.desired import World, gateway
from landbridge.agent.duties import Duties
from landbridge.agent.files import Files
from landbridge.agent.leader import Election
from landbridge.agent.linkbook import POLL_SECONDS, LinkBook
from landbridge.agent.options import Options
from landbridge.agent.watching import Pace, Signal, Watch, Watches
from landbridge.clients.kubernetes import ENDPOINTSLICE, NAMESPACE, SERVICE, Kubernetes
from landbridge.envoy.render import files
from landbridge.envoy.state import Gateway, Waypoint, with_hops
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

log = structlog.get_logger()
CHECK_SECONDS = 1.0
IDLE_SECONDS = 5.0


class GatewayAgent:
    """Exports of the cluster become chains of the gateway's Envoy; while this agent leads, it does the duties too."""

    def __init__(self, options: Options, k8s: Kubernetes, writer: Files) -> None:
        self._options = options
        self._k8s = k8s
        self._writer = writer
        self._signal = Signal()
        self._duty_signal = Signal()
        self._pace = Pace(k8s.clock, self._signal, times=16.0, most=12.0)  # Envoy reads a door of 1.5 MB, of 409
        self._services = Watch(k8s, SERVICE, signal=self._duty_signal)
        self._slices = Watch(k8s, ENDPOINTSLICE, signal=self._duty_signal)
        for watch in (self._services, self._slices):
            watch.subscribe(self._changed)
        self._watches = Watches((self._services, self._slices))
        self._namespaces = Watch(k8s, NAMESPACE, signal=Signal(), keep=_name_only)
        self._book = LinkBook(k8s, options.links)
        self._election = Election(k8s, options.holder, self._duty_signal)
        self._duties = Duties(
            options, k8s, self._services, self._slices, self._namespaces, self._book, self._duty_signal
        )
        self._problem = ""
        self._state: Gateway | None = None
        self._files: tuple[tuple[str, bytes], ...] = ()

    async def run(self) -> None:
        """Work until cancelled."""
        async with self._watches, Watches((self._namespaces,)), asyncio.TaskGroup() as group:
            group.create_task(self._follow_links(), name="links")
            group.create_task(self._election.run(), name="election")
            group.create_task(self._lead(), name="duties")
            while True:
                woken = await self._signal.wait(IDLE_SECONDS if self._writer.acknowledged.active else CHECK_SECONDS)
                self._signal.take()
                if not self._watches.synced or not self._book.known:
                    continue
                if woken or not self._writer.acknowledged.active:
                    await self._pace.rest()
                    with self._pace.work():
                        await self._obey()
                else:
                    await self._writer.check()

    async def resign(self) -> None:
        """Give the lead away; the Envoy goes on being fed."""
        await self._election.resign()

    async def _obey(self) -> None:
        try:
            policy = self._options.exports
            services = [item for item in self._services.items if policy.covers(item)]
            spaces = {item["metadata"]["namespace"] for item in services}
            worlds = {
                space: World.of(space, self._services.within(space), self._slices.within(space)) for space in spaces
            }
            links = list(self._book.links.values())
            state = gateway(self._options.cluster, services, worlds, links, self._options.bind, policy)
            self._render(with_hops(state, self._options.hop_header))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self._say(f"an object cannot be understood, the last state is kept: {type(error).__name__}: {error}")
            return
        self._say((await self._writer.write(self._files)).problem)

    def _render(self, state: Gateway) -> None:
        """Most of what is written to Services changes nothing here, and a door of 1.5 MB is not made in no time."""
        if state != self._state:
            self._files = files(state, self._options.places)
            self._state = state

    def _changed(self, event: str, item: Manifest) -> None:
        """Mirrors and our own slices are nothing to the gateway: it forwards to the pods behind leaves.

        Pods that come or go must not wait; whole slices that do are a Service's that is adopted or given back.
        """
        if names.is_mirror(item) or names.ours(item):
            return
        urgent = item["kind"] == ENDPOINTSLICE.kind and event == "MODIFIED"
        (self._signal.hurry if urgent else self._signal.wake)(event, item)

    async def _follow_links(self) -> None:
        while True:
            if await self._book.poll():
                log.info("links", clusters=sorted(self._book.links))
                self._signal.wake()
                self._duty_signal.wake()
            await self._k8s.clock.sleep(POLL_SECONDS if self._book.known else 0.5)

    async def _lead(self) -> None:
        """Do the duties for as long as this agent leads."""
        while True:
            while not (self._election.leading and self._watches.synced and self._book.known):
                await self._duty_signal.wait(CHECK_SECONDS)
            log.info("leads")
            duties = asyncio.create_task(self._duties.run())
            while self._election.leading and not duties.done():
                await self._k8s.clock.sleep(0.2)
            duties.cancel()
            (result,) = await asyncio.gather(duties, return_exceptions=True)
            if isinstance(result, Exception) and not isinstance(result, LandbridgeError):
                raise result
            log.info("leads no longer", why=str(result) if isinstance(result, Exception) else "")

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            (log.warning if problem else log.info)("envoy", problem=problem or "obeys")
        self._problem = problem

    def state(self) -> dict[str, Any]:
        """What `/state` says: the links, what Envoy acknowledged, and what the leader is at."""
        acknowledged = self._writer.acknowledged
        problems = [self._problem, self._book.problem, *self._watches.problems]
        return {
            "watch_age": round(self.watch_age(), 3),
            "synced": self._watches.synced,
            "problems": [text for text in problems if text],
            "generation": acknowledged.generation,
            "acknowledged": acknowledged.active,
            "versions": dict(acknowledged.versions),
            "links": sorted(self._book.links),
            "leading": self._election.leading,
            **({"duties": self._duties.report()} if self._election.leading else {}),
        }

    def watch_age(self) -> float:
        """Seconds since the API server last proved that Services are being watched."""
        return self._watches.age

    def obeyed_state(self) -> Waypoint | None:
        """A gateway divides nothing, so it counts nothing."""
        return None


def _name_only(item: Manifest) -> Manifest:
    meta = item["metadata"]
    return {"metadata": {"name": meta["name"], "resourceVersion": meta["resourceVersion"]}}
