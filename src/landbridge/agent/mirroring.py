"""Makes the mirrors here what the other clusters export: many at a time, one Service after a change of it.

A unit is one Service of another cluster. Whatever changes, here or there, touches a unit; a touched unit is compared
with what stands here, from scratch. So an event that comes twice, late or never again does no harm, and a mirror that
was edited or deleted by hand comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from landbridge.agent import mirrors, names
from landbridge.agent.likeness import is_own, unit_of
from landbridge.agent.links import Link
from landbridge.agent.mirrors import Create, Delete, Here, Skip, Update
from landbridge.agent.remote import Remote
from landbridge.agent.split import Declared
from landbridge.agent.watching import Signal, Watch
from landbridge.clients.answers import ConflictError, ForbiddenError, NotFoundError
from landbridge.clients.kubernetes import HTTPROUTE, SERVICE, TRAFFICSPLIT, Kind, Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

log = structlog.get_logger()
AT_ONCE = 24
AGAIN = 1.0  # seconds until a unit that failed is looked at again
IN_USE = 3.0  # the same while a split sends traffic to what is no longer exported
DENIED = (15.0, 240.0)  # the first and the longest pause of a namespace that refuses us
Unit = tuple[str, str, str]
"""The other cluster, and the namespace and name of one of its Services."""


@dataclass(slots=True)
class _Denied:
    until: float
    pause: float
    why: str


class Mirroring:
    """`remotes` gives the linked clusters as they are at the moment; `links` those that still have a link."""

    def __init__(
        self,
        k8s: Kubernetes,
        services: Watch,
        namespaces: Watch,
        remotes: Callable[[], Mapping[str, Remote]],
        links: Callable[[], Mapping[str, Link]],
    ) -> None:
        self._k8s = k8s
        self._services = services
        self._namespaces = namespaces
        self._remotes = remotes
        self._links = links
        self._touched: dict[Unit, None] = {}
        self._busy: set[Unit] = set()
        self._later: dict[Unit, float] = {}
        self._denied: dict[str, _Denied] = {}
        self._owner: dict[mirrors.Key, Unit] = {}
        self._owned: dict[Unit, set[mirrors.Key]] = {}
        self._skips: dict[Unit, dict[str, str]] = {}
        self._known: set[int] = set()
        self._work = Signal()
        self.problem = ""
        services.subscribe(self._service_changed)
        namespaces.subscribe(self._namespace_changed)

    @property
    def skipped(self) -> dict[str, str]:
        """Why there is no mirror, or still one, by `namespace/mirror`."""
        return {place: why for found in self._skips.values() for place, why in found.items()}

    def touch(self, cluster: str, namespace: str, service: str) -> None:
        """Look at one Service of another cluster again."""
        self._touched[cluster, namespace, service] = None
        self._work.wake()

    def touch_all(self, cluster: str) -> None:
        """Look at every Service of a cluster, and at every mirror of it here."""
        remote = self._remotes().get(cluster)
        for item in remote.exported if remote else ():
            self.touch(cluster, item["metadata"]["namespace"], item["metadata"]["name"])
        for unit in self._owned:
            if unit[0] == cluster:
                self.touch(*unit)

    async def run(self) -> None:
        """Work until cancelled."""
        self._known, self._busy = set(), set()
        for cluster in {unit[0] for unit in self._owned} - self._links().keys():
            self.touch_all(cluster)
        async with asyncio.TaskGroup() as group:
            running: set[asyncio.Task[None]] = set()
            while True:
                self._look_around()
                while len(running) < AT_ONCE and (unit := self._next()):
                    task = group.create_task(self._look(unit))
                    running.add(task)
                    task.add_done_callback(running.discard)
                await self._work.wait(AGAIN)

    def _look_around(self) -> None:
        """Touch what is due again, and everything of a cluster whose exports were just listed."""
        now = self._k8s.clock.monotonic()
        for unit in [unit for unit, at in self._later.items() if at <= now]:
            del self._later[unit]
            self._touched[unit] = None
        for cluster, remote in self._remotes().items():
            if remote.synced and id(remote) not in self._known:
                self._known.add(id(remote))
                self.touch_all(cluster)

    def _next(self) -> Unit | None:
        """A unit that nobody works on."""
        for unit in self._touched:
            if unit not in self._busy:
                del self._touched[unit]
                self._busy.add(unit)
                return unit
        return None

    async def _look(self, unit: Unit) -> None:
        """Bring one unit's mirrors to what they should be; whatever fails is tried again."""
        pause: float | None = AGAIN
        try:
            pause = await self._bring(unit)
            self.problem = ""
        except ConflictError:  # somebody was faster: the watch shows what is there now
            pass
        except LandbridgeError as error:
            self.problem = error.what
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            self._skips[unit] = {"/".join(unit[1:]): f"cannot be understood: {type(error).__name__}: {error}"}
            pause = None
        finally:
            self._busy.discard(unit)
            if pause is not None:
                self._later[unit] = self._k8s.clock.monotonic() + pause
            self._work.wake()

    async def _bring(self, unit: Unit) -> float | None:
        """Seconds until it has to be looked at again by itself; None when only a change can matter."""
        cluster, namespace, name = unit
        remote, link = self._remotes().get(cluster), self._links().get(cluster)
        if link is not None and (remote is None or not remote.synced):
            return None  # nobody knows what it exports: everything is touched as soon as that is known
        own = [self._services.by_key.get(key) for key in self._owned.get(unit, ())]
        have = [item for item in own if item is not None and is_own(item, cluster)]
        service = remote.find(namespace, name) if remote and link else None
        hostnames = remote.hostnames(namespace, name) if remote and service else None
        here = Here(services=self._services.by_key, namespaces=self._spaces(namespace))
        changes = mirrors.plan_one(
            link or Link(cluster=cluster, gateways=(), identity=""), service, hostnames, have, here
        )
        self._skips.pop(unit, None)
        pauses = [await self._change(unit, change) for change in changes]
        return min((pause for pause in pauses if pause is not None), default=None)

    async def _change(self, unit: Unit, change: mirrors.Change) -> float | None:
        match change:
            case Skip(namespace=namespace, name=name, reason=reason):
                denied = self._denied.get(namespace)
                self._skip(unit, namespace, name, denied.why if denied else reason)
                return max(0.1, denied.until - self._k8s.clock.monotonic()) if denied else None
            case Delete(namespace=namespace, name=name, version=version):
                if await self._in_use(namespace, name):
                    self._skip(unit, namespace, name, "no longer exported, but a split sends traffic there")
                    return IN_USE
                await self._k8s.delete(SERVICE, name, namespace, version=version)
                log.info("mirror deleted", namespace=namespace, name=name)
            case Create(manifest=manifest):
                return await self._write(unit, manifest["metadata"]["namespace"], manifest["metadata"]["name"], change)
            case Update(namespace=namespace, name=name):
                return await self._write(unit, namespace, name, change)
        return None

    async def _write(self, unit: Unit, namespace: str, name: str, change: Create | Update) -> float | None:
        if self._owner.setdefault((namespace, name), unit) != unit:
            self._skip(unit, namespace, name, "another mirror has that name")
            return None
        self._owned.setdefault(unit, set()).add((namespace, name))
        try:
            match change:
                case Create(manifest=manifest):  # never applied over a Service that a user made this moment
                    await self._k8s.create(manifest, manager=names.MANAGER)
                    log.info("mirror made", namespace=namespace, name=name)
                case Update(patch=patch, version=version):
                    await self._k8s.patch(SERVICE, name, patch, namespace, version=version, manager=names.MANAGER)
        except ForbiddenError as error:
            return self._deny(unit, namespace, name, error)
        except NotFoundError as error:
            return self._deny(unit, namespace, name, error) if isinstance(change, Create) else AGAIN
        self._denied.pop(namespace, None)
        return None

    def _deny(self, unit: Unit, namespace: str, name: str, error: LandbridgeError) -> float:
        """Leave a namespace alone for a while: it may be missing, or its rights."""
        now, before = self._k8s.clock.monotonic(), self._denied.get(namespace)
        pause = min(before.pause * 2, DENIED[1]) if before and before.until <= now else DENIED[0]
        if before is None or before.until <= now:
            self._denied[namespace] = _Denied(now + pause, pause, error.what)
        self._skip(unit, namespace, name, error.what)
        return pause

    def _skip(self, unit: Unit, namespace: str, name: str, why: str) -> None:
        self._skips.setdefault(unit, {})[f"{namespace}/{name}"] = why

    def _spaces(self, namespace: str) -> set[str]:
        """The namespace itself, if mirrors may be in it."""
        denied = self._denied.get(namespace)
        if denied and denied.until > self._k8s.clock.monotonic():
            return set()
        missing = self._namespaces.synced and ("", namespace) not in self._namespaces.by_key
        return set() if missing else {namespace}

    async def _in_use(self, namespace: str, mirror: str) -> bool:
        """Whether a split of the namespace gives a mirror a weight; an unreadable answer counts as yes."""
        said = Declared(await self._listed(TRAFFICSPLIT, namespace), await self._listed(HTTPROUTE, namespace))
        services = {names.label(item, names.LEAF_OF) for item in self._services.within(namespace)}
        found = [said.of(name) for name in services if name]
        return any(weights.get(mirror) for split in found if split for weights in split.weights.values())

    async def _listed(self, kind: Kind, namespace: str) -> list[Manifest]:
        try:
            return list(await self._k8s.list(kind, namespace))
        except NotFoundError:  # the kind is not installed
            return []

    def _service_changed(self, event: str, item: Manifest) -> None:
        """A Service here came, changed or went."""
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        unit = self._owner.get(key)
        if unit is None and names.is_mirror(item):
            unit = (names.label(item, names.CLUSTER_NAME), *unit_of(item))
        if unit is None:
            return
        if event == "DELETED":
            self._owner.pop(key, None)
            self._owned.get(unit, set()).discard(key)
        else:
            self._owner[key] = unit
            self._owned.setdefault(unit, set()).add(key)
        self.touch(*unit)

    def _namespace_changed(self, event: str, item: Manifest) -> None:
        """A namespace came or went: what it was refused for may be over."""
        name = item["metadata"]["name"]
        if event == "MODIFIED" and name not in self._denied:
            return
        self._denied.pop(name, None)
        for cluster, remote in self._remotes().items():
            for service in remote.exported:
                if service["metadata"]["namespace"] == name:
                    self.touch(cluster, name, service["metadata"]["name"])
