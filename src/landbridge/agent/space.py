"""The leader's work in one namespace: waypoint ports, our slices, and an owner's writes answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from landbridge.agent import direct, names, ports, restore, slices
from landbridge.agent.confirm import Confirmations
from landbridge.agent.desired import World
from landbridge.agent.restoring import carry_out, is_labelled
from landbridge.agent.watching import Signal, Watch, Watches
from landbridge.clients.answers import ConflictError, NotFoundError
from landbridge.clients.kubernetes import CONFIGMAP, POD, SERVICE, Kubernetes
from landbridge.clients.several import several
from landbridge.model.service import Manifest

log = structlog.get_logger()
Ready = Callable[[Manifest], bool | None]
Pods = Callable[[Manifest], Sequence[Manifest] | None]


class Space:
    """One namespace with a waypoint. `reconcile` looks and acts once; True when something is still awaited."""

    def __init__(self, k8s: Kubernetes, namespace: str, confirmed: Confirmations, signal: Signal) -> None:
        self._k8s = k8s
        self._namespace = namespace
        self._confirmed = confirmed
        self._pods = Watch(k8s, POD, namespace, signal=signal, labels=f"{names.ROLE}=waypoint")
        record = f"metadata.name={names.PORT_RECORD}"
        self._record = Watch(k8s, CONFIGMAP, namespace, signal=signal, fields=record)
        self.watches = Watches((self._pods, self._record))
        self._inherited = False
        self._signal = signal
        self._asked = asyncio.Event()
        self._held: dict[int, int | None] = {}
        self._seen: tuple[str, ...] = ()
        self._planned: dict[str, ports.Allocation] = {}
        self.notes: dict[str, str] = {}

    async def run(self) -> None:
        """Follow pods and the record of ports, and ask pods what only they know, until cancelled.

        Asking is apart from `reconcile`, so that an agent that does not answer never delays a slice.
        """
        async with self.watches:
            while True:
                await self._asked.wait()
                self._asked.clear()
                if await self._inquire():
                    self._signal.pass_on({self._namespace})

    async def _inquire(self) -> bool:
        """Confirm what waypoints serve, and count what draining ports hold; True when something new was learned."""
        pods = [slices.pod(item) for item in self._pods.items]
        allocations = ports.read(self._record.by_key.get((self._namespace, names.PORT_RECORD)))
        wanted = [item for item in allocations.values() if not item.draining]
        confirmed = await asyncio.gather(*(self._confirmed.confirm(pod, wanted) for pod in pods))
        draining = {item.listen for item in allocations.values() if item.draining}
        before, self._held = self._held, await self._connections(pods, draining) if draining else {}
        return any(confirmed) or before != self._held

    async def reconcile(self, world: World, mirror_ready: Ready, pods_of: Pods = lambda _: None) -> bool:
        """Bring the namespace one step nearer to what it should be."""
        if not self.watches.synced:
            return True
        self.notes = {}
        pods = [slices.pod(item) for item in self._pods.items]
        if not self._inherited:
            own = [item for found in world.slices.values() for item in found if names.ours(item)]
            self._confirmed.inherit(pods, slices.held(own))
            self._inherited = True
        allocations = await self._allocate(world)
        if allocations is None:
            return True
        self._confirmed.keep(pods, allocations)
        of = ports.by_service(allocations)
        waits = await several(self._apex(world, item, pods, of) for item in _leaves(world))
        waits += await several(self._mirror(world, item, pods, of, mirror_ready) for item in _mirrors(world))
        waits += await several(self._direct(world, item, mirror_ready, pods_of) for item in _directs(world))
        await self._annotate(world, allocations)
        await self._orphans(world)
        if waiting := any(waits) or any(item.draining for item in allocations.values()):
            self._asked.set()
        return waiting

    async def _allocate(self, world: World) -> dict[str, ports.Allocation] | None:
        """The record as it has to be; None when it was written just now and the watch has to show it first."""
        record = self._record.by_key.get((self._namespace, names.PORT_RECORD))
        services = [*_leaves(world), *_mirrors(world), *_pointed(world)]
        seen = tuple(item["metadata"].get("resourceVersion", "") for item in (record or {"metadata": {}}, *services))
        if seen == self._seen:
            return self._planned
        have = ports.read(record)
        known = have if record is not None else ports.recall(services)
        now = self._k8s.clock.now()
        want = ports.plan(services, known, now)
        gone = ports.drained(want, self._held, now)
        patch: dict[str, str | None] = {
            key: ports.text(item) for key, item in want.items() if have.get(key) != item and key not in gone
        }
        patch |= dict.fromkeys(gone & have.keys())
        self._held = {} if gone else self._held
        if not patch:
            if not any(item.draining for item in want.values()):  # else time alone changes what is to be done
                self._seen, self._planned = seen, want
            return want
        await self._write_record(record, patch)
        return None

    async def _write_record(self, record: Manifest | None, patch: Mapping[str, str | None]) -> None:
        meta = {
            "name": names.PORT_RECORD,
            "namespace": self._namespace,
            "labels": {names.MANAGED_BY: "landbridge"},
        }
        try:
            if record is None:
                manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(patch)}
                await self._k8s.create(manifest, manager=names.MANAGER)
            else:
                version = record["metadata"]["resourceVersion"]
                await self._k8s.patch(
                    CONFIGMAP,
                    names.PORT_RECORD,
                    {"data": dict(patch)},
                    self._namespace,
                    version=version,
                    manager=names.MANAGER,
                )
        except ConflictError:  # another leader was faster: the watch shows it
            return

    async def _connections(self, pods: list[slices.Pod], listen: set[int]) -> dict[int, int | None]:
        """Connections on draining ports over all pods; None where a pod cannot tell."""
        answers = await asyncio.gather(*(self._confirmed.state(pod) for pod in pods))
        held: dict[int, int | None] = {}
        for port in listen:
            counts = [_count(answer, port) for answer in answers]
            known = [count for count in counts if count is not None]
            held[port] = sum(known) if len(known) == len(counts) else None
        return held

    async def _annotate(self, world: World, allocations: ports.Allocations) -> None:
        texts = ports.notes(allocations)
        found = [
            (service, texts.get(names.label(service, names.LEAF_OF) or service["metadata"]["name"], "{}"))
            for service in [*_leaves(world), *_mirrors(world)]
        ]
        late = [(service, text) for service, text in found if names.annotation(service, names.PORTS) != text]
        await several(self._annotation(service, names.PORTS, text) for service, text in late)

    async def _annotation(self, service: Manifest, key: str, value: str | None) -> None:
        meta = service["metadata"]
        try:
            await self._k8s.patch(
                SERVICE,
                meta["name"],
                {"metadata": {"annotations": {key: value}}},
                self._namespace,
                version=meta["resourceVersion"],
                manager=names.MANAGER,
            )
        except (ConflictError, NotFoundError):
            return

    async def _apex(self, world: World, leaf: Manifest, pods: list[slices.Pod], of: ports.ByService) -> bool:
        """Our slices of one adopted Service; True when something is awaited."""
        name = names.label(leaf, names.LEAF_OF)
        apex = world.services.get(name)
        state = names.annotation(leaf, names.STATE)
        if apex is None:
            return self._note(name, "the apex Service does not exist")
        if state == "releasing":
            return await self._release(name, world)
        if state not in ("adopting", "adopted"):
            return self._note(name, f"the leaf's state {state!r} is not known")
        waits = await self._point(world, apex, pods, of.get(name, {}), first=state == "adopting")
        if state == "adopted":
            waits = await self._restore(world, apex, leaf) or waits
        return waits

    async def _point(
        self, world: World, service: Manifest, pods: list[slices.Pod], listen: ports.Allocations, *, first: bool
    ) -> bool:
        """Write our slices for an apex: of confirmed pods, and the `first` time only when every pod is confirmed."""
        name = service["metadata"]["name"]
        numbers = [item.listen for item in listen.values() if not item.draining]
        ready = [pod for pod in pods if pod.ready]
        good = [pod for pod in ready if self._confirmed.has(pod, numbers)]
        have = {item["addressType"]: item for item in world.slices.get(name, ()) if names.ours(item)}
        if not have and first and len(good) < len(ready):
            return self._note(name, f"{len(good)} of {len(ready)} waypoint pods serve it: waits for the others")
        if not good:
            return self._note(name, "no waypoint pod is ready and serves it: the last slice is held")
        await self._write(have, {family: slices.wanted(service, good, listen, family) for family in slices.FAMILIES})
        return len(good) < len(ready)

    async def _mirror(
        self, world: World, mirror: Manifest, pods: list[slices.Pod], of: ports.ByService, mirror_ready: Ready
    ) -> bool:
        """The slices of a mirror: waypoint pods, ready as long as the far end answers."""
        name = mirror["metadata"]["name"]
        answers = mirror_ready(mirror)
        if answers is None:
            return self._note(name, "the other cluster was not probed yet")
        listen = of.get(name, {})
        numbers = [item.listen for item in listen.values()]
        ready = [pod for pod in pods if pod.ready]
        good = [pod for pod in ready if self._confirmed.has(pod, numbers)]
        have = {item["addressType"]: item for item in world.slices.get(name, ()) if names.ours(item)}
        want = {f: slices.wanted(mirror, good, listen, f, ready=answers) for f in slices.FAMILIES}
        await self._write(have, want)
        return len(good) < len(ready)

    async def _direct(self, world: World, mirror: Manifest, mirror_ready: Ready, pods_of: Pods) -> bool:
        """The slices of a mirror that points to no waypoint; True while nobody knows what they have to say."""
        name = mirror["metadata"]["name"]
        if names.is_headless(mirror):
            members = [item for item in _mirrors(world) if names.label(item, names.HEADLESS_MIRROR) == name]
            want = direct.headless(mirror, members, mirror_ready)
        else:
            pods = pods_of(mirror)
            want = None if pods is None else direct.flat(mirror, pods)
        if want is None:
            return self._note(name, "the other cluster was not asked yet")
        for change in direct.changes([item for item in world.slices.get(name, ()) if names.ours(item)], want):
            await slices.write(self._k8s, change)
        return False

    async def _write(self, have: Mapping[str, Manifest], want: Mapping[str, Manifest | None]) -> None:
        for family, manifest in want.items():
            if change := slices.diff(have.get(family), manifest):
                await slices.write(self._k8s, change)

    async def _release(self, name: str, world: World) -> bool:
        found = world.slices.get(name, ())
        for change in slices.release(name, found):
            await slices.write(self._k8s, change)
        return any(names.ours(item) for item in found)

    async def _orphans(self, world: World) -> None:
        """Our slices of a Service that has no leaf any more and is no mirror."""
        for name, found in world.slices.items():
            needed = world.is_mirror(name) or names.leaf_name(name) in world.services
            if not needed and any(names.ours(item) for item in found):
                await self._release(name, world)

    async def _restore(self, world: World, apex: Manifest, leaf: Manifest) -> bool:
        name = apex["metadata"]["name"]
        labelled = not (apex.get("spec") or {}).get("selector") or await is_labelled(self._k8s, apex)
        action = restore.decide(
            apex,
            leaf,
            world.slices.get(name, ()),
            world.slices.get(names.leaf_name(name), ()),
            labelled=labelled,
        )
        if action is None:
            if names.annotation(leaf, names.DRIFT):
                await self._annotation(leaf, names.DRIFT, None)
            return False
        self._note(name, await carry_out(self._k8s, apex, leaf, action))
        return not isinstance(action, restore.Drift)

    def _note(self, name: str, text: str) -> bool:
        self.notes[name] = text
        return True

    def report(self) -> dict[str, Any]:
        """What is not as it should be, by Service."""
        problems = {"": "; ".join(self.watches.problems)} if self.watches.problems else {}
        return dict(self.notes) | problems


def _leaves(world: World) -> list[Manifest]:
    return [item for _, item in sorted(world.services.items()) if names.label(item, names.LEAF_OF)]


def _mirrors(world: World) -> list[Manifest]:
    """Mirrors that we made; those of others (Linkerd's) are not ours to point anywhere."""
    return [item for _, item in sorted(world.services.items()) if names.is_mirror(item) and not direct.is_direct(item)]


def _directs(world: World) -> list[Manifest]:
    """Mirrors of ours that no waypoint stands before: headless ones and flat ones."""
    found = sorted(world.services.items())
    return [item for _, item in found if names.is_mirror(item) and direct.is_direct(item)]


def _pointed(world: World) -> list[Manifest]:
    """Services without a leaf that our slices still point away from: their waypoint ports must stay."""
    return [
        world.services[name]
        for name, found in sorted(world.slices.items())
        if name in world.services and names.leaf_name(name) not in world.services
        if not world.is_mirror(name) and any(names.ours(item) for item in found)
    ]


def _count(answer: Mapping[str, Any], port: int) -> int | None:
    held = answer.get("connections")
    if not isinstance(held, Mapping) or not held:
        return None
    return int(held.get(str(port), 0))
