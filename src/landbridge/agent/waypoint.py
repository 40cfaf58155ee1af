"""The agent of a waypoint: follows one namespace and makes the Envoy beside it obey the splits there."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from landbridge.agent import memory, names, ports
from landbridge.agent.callers import Policies
from landbridge.agent.derived import Derived
from landbridge.agent.desired import EVERYBODY, World, waypoint
from landbridge.agent.files import Files
from landbridge.agent.lease import POLL_SECONDS, Leases
from landbridge.agent.links import by_address
from landbridge.agent.options import Options
from landbridge.agent.reach import Reach, active
from landbridge.agent.resolver import Resolver
from landbridge.agent.split import Declared, Obeyed
from landbridge.agent.watching import SPLIT_SECONDS, Pace, Signal, Watch, Watches
from landbridge.clients.kubernetes import CONFIGMAP, ENDPOINTSLICE, HTTPROUTE, SERVICE, TRAFFICSPLIT, Kubernetes
from landbridge.envoy.render import files
from landbridge.envoy.state import Waypoint
from landbridge.model.service import Manifest

log = structlog.get_logger()
IDLE_SECONDS = 5.0
REACH_SECONDS = 0.2
PACED_SECONDS = 0.05  # while many splits go home one after another


class WaypointAgent:
    """Watches, decides, writes files. While its API server is away the last files stay in force."""

    def __init__(self, options: Options, k8s: Kubernetes, writer: Files) -> None:
        self._options = options
        self._k8s = k8s
        self._writer = writer
        self._signal = Signal()
        remembered = memory.load(options.memory_dir)
        self._leases = Leases(k8s, remembered.expired)
        self._remembered = remembered
        self.obeyed: dict[str, Obeyed] = dict(remembered.obeyed)
        self._obeyed_state: Waypoint | None = None
        self._held: dict[str, ports.Allocation] = {}
        self._problem = ""
        self._reach = Reach()
        self._changed = asyncio.Event()
        self._paced = False
        self._resolver = Resolver(k8s.clock, self._signal.wake)
        space = options.namespace
        self._services = Watch(k8s, SERVICE, space, signal=self._signal)
        self._slices = Watch(k8s, ENDPOINTSLICE, space, signal=self._signal)
        self._pace = Pace(k8s.clock, self._signal)
        weights: dict[str, Any] = {"signal": self._signal, "seconds": SPLIT_SECONDS, "optional": True, "urgent": True}
        self._splits = Watch(k8s, TRAFFICSPLIT, space, **weights)
        self._routes = Watch(k8s, HTTPROUTE, space, **weights)
        record = f"metadata.name={names.PORT_RECORD}"
        self._record = Watch(k8s, CONFIGMAP, space, signal=self._signal, fields=record)
        self._allocations = Derived(self._hold, self._record)
        self._adopting = Derived(self._find_adopting, self._services)
        self._split_leases = Derived(self._find_leases, self._splits, self._routes, self._record)
        self._policies = Policies(k8s, space, options.memory_dir, self._signal) if options.enforces else None
        self._watches = Watches((self._services, self._slices, self._splits, self._routes, self._record))

    async def run(self) -> None:
        """Work until cancelled."""
        async with self._watches, asyncio.TaskGroup() as group:
            group.create_task(self._follow_leases(), name="leases")
            group.create_task(self._look_around(), name="reach")
            group.create_task(self._resolver.run(), name="gateways' names")
            if self._policies is not None:
                group.create_task(self._policies.run(), name="policies")
            while True:
                woken = await self._signal.wait(self._pause())
                if not self._watches.synced:
                    continue
                if woken or self._paced or not self._writer.acknowledged.active:
                    await self._pace.rest()
                    with self._pace.work():
                        await self._obey()
                else:
                    await self._writer.check()

    def _pause(self) -> float:
        """How long to wait for a change before looking again."""
        if self._paced:
            return PACED_SECONDS
        return IDLE_SECONDS if self._writer.acknowledged.active else POLL_SECONDS

    async def _obey(self) -> None:
        world, allocations = self._world(), self._allocations()
        now = self._k8s.clock.monotonic()
        try:
            callers = self._policies.callers(world, allocations) if self._policies else EVERYBODY
            if callers is None:
                return
            state, obeyed = waypoint(
                self._options.cluster,
                self._options.namespace,
                world,
                allocations,
                self.obeyed,
                self._leases.expired_at,
                now,
                self._options.bind,
                callers,
            )
            state = by_address(state, self._resolver)
            wanted = files(state, self._options.places)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self._say(f"an object cannot be understood, the last state is kept: {type(error).__name__}: {error}")
            return
        before = self.obeyed
        self.obeyed = obeyed
        acknowledged = await self._writer.write(wanted)
        if acknowledged.active:
            self._obeyed_state = state
        self._say(acknowledged.problem)
        if before != obeyed:
            self._remember()
        self._changed.set()
        self._paced = self._anybody_waits()

    async def _follow_leases(self) -> None:
        while True:
            named = self._split_leases()
            before = self._leases.expired()
            await self._leases.poll(set(named.values()))
            if self._leases.expired() != before:
                log.warning("run leases that have run out changed", leases=sorted(self._leases.expired()))
                self._remember()
                self._signal.hurry()
            await self._k8s.clock.sleep(POLL_SECONDS)

    async def _look_around(self) -> None:
        """Try the pods of Services that are being adopted, while there are any."""
        while True:
            if not self._adopting():
                await self._changed.wait()
            self._changed.clear()
            if await self._reach.look(self._obeyed_state, self._adopting()) and self._reach.problems:
                log.warning("not reached", problems=self._reach.problems)
            await self._k8s.clock.sleep(REACH_SECONDS)

    def _find_adopting(self) -> set[str]:
        states = {
            names.label(item, names.LEAF_OF): names.annotation(item, names.STATE) for item in self._services.items
        }
        return {service for service, state in states.items() if service and state == "adopting"}

    def _find_leases(self) -> dict[str, str]:
        """Service to run lease, for all splits that name one."""
        said = Declared(self._splits.items, self._routes.items)
        found = {name: said.of(name) for name in {item.service for item in self._allocations().values()}}
        return {name: split.run_lease for name, split in found.items() if split and split.run_lease}

    def _anybody_waits(self) -> bool:
        """Whether an expired split may still have to go home: its turn or its home's readiness is awaited."""
        expired = {name for name, lease in self._split_leases().items() if self._leases.expired_at(lease) is not None}
        return any(self.obeyed[name].reason != "home" for name in expired if name in self.obeyed)

    def _world(self) -> World:
        space = self._options.namespace
        return World.of(space, self._services.items, self._slices.items, self._splits.items, self._routes.items)

    def _hold(self) -> dict[str, ports.Allocation]:
        record: Manifest | None = self._record.by_key.get((self._options.namespace, names.PORT_RECORD))
        self._held = ports.hold(record, self._held)
        return self._held

    def _remember(self) -> None:
        expired = self._leases.expired() or dict(self._remembered.expired if not self._leases.sightings else {})
        try:
            memory.save(self._options.memory_dir, memory.Memory(obeyed=self.obeyed, expired=expired))
        except OSError as error:
            log.warning("cannot remember the weights over a restart", why=error.strerror)

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            (log.warning if problem else log.info)("envoy", problem=problem or "obeys")
        self._problem = problem

    def state(self) -> dict[str, Any]:
        """What `/state` says: what is obeyed, what Envoy acknowledged, and how fresh our knowledge is."""
        acknowledged, adopting = self._writer.acknowledged, self._adopting()
        return {
            "watch_age": round(self._splits.age, 3),
            "synced": self._watches.synced,
            "problems": [text for text in self._problems() if text],
            "generation": acknowledged.generation,
            "acknowledged": acknowledged.active,
            "versions": dict(acknowledged.versions),
            "active": active(self._obeyed_state, self._reach, adopting),
            "leases": self._leases.report(),
            "splits": {
                f"{self._options.namespace}/{name}": {
                    "weights": {str(port or "*"): dict(weights) for port, weights in item.weights.items()},
                    "reason": item.reason.value,
                    "header": dict(item.header),
                    "shadow": dict(item.shadow),
                    "problem": item.problem,
                }
                for name, item in self.obeyed.items()
            },
        }

    def _problems(self) -> list[str]:
        policies = self._policies.problems if self._policies else []
        names_ = self._resolver.problems.values()
        return [self._problem, *names_, *self._reach.problems, *self._watches.problems, *policies]

    def watch_age(self) -> float:
        """Seconds since the API server last proved that splits are being watched."""
        return self._splits.age

    def obeyed_state(self) -> Waypoint | None:
        """What Envoy acknowledged last."""
        return self._obeyed_state
