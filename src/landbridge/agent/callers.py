"""Who may call what stands behind a waypoint: follows policies and pods, and says it for each port.

Watched is only what rules need: pods of other namespaces when a rule selects them, and nothing but policies where no
policy limits anybody. What cannot be read any more stays as it was; what was never known lets nobody in.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

import structlog

from landbridge.agent import endpoints, names, ports
from landbridge.agent.desired import World
from landbridge.agent.files import place
from landbridge.agent.watching import Signal, Watch, lean
from landbridge.clients.kubernetes import NAMESPACE, NETWORKPOLICY, POD, Kubernetes
from landbridge.model.manifest import labels_of, matches, name_of
from landbridge.model.service import Manifest
from landbridge.translate import callers as policy
from landbridge.translate.networks import hosts, texts

log = structlog.get_logger()
Callers = Mapping[str, tuple[str, ...] | None]
"""By `<service>/<port>`: networks (CIDR), None for everybody."""

FILE = "callers.json"
LATE_SECONDS = 5.0
"""How long a restarted agent waits for the API server's answer before it goes on with what it remembers."""
POLL_SECONDS = 0.05
ROUTES = Path("/proc/net/route")
_NAMESPACES = (NAMESPACE.plural, "")


class _Heard(Signal):
    """Wakes the agent as well, and counts what matters, so that nothing is worked out twice: most changes of a pod are
    about its health.
    """

    def __init__(self, agent: Signal) -> None:
        super().__init__()
        self._agent = agent
        self._seen: dict[tuple[str, ...], tuple[object, ...]] = {}
        self.changes = 0

    def wake(self, change: str = "", item: Manifest | None = None) -> None:
        """A policy, a namespace or a pod changed, or all that rules need has been seen."""
        if item is not None and not self._matters(change, item):
            return
        self.changes += 1
        super().wake()
        self._agent.wake()

    def _matters(self, change: str, item: Manifest) -> bool:
        meta = item["metadata"]
        key = (item.get("kind") or "", meta.get("namespace") or "", meta["name"])
        before = self._seen.pop(key, None)
        if change == "DELETED":
            return True
        self._seen[key] = (meta.get("labels"), item.get("spec"), item.get("status"))
        return before != self._seen[key]


class Policies:
    """The policies of one namespace as far as they say who may call; run it beside the agent that asks it."""

    def __init__(self, k8s: Kubernetes, namespace: str, folder: Path, signal: Signal) -> None:
        self._k8s = k8s
        self._namespace = namespace
        self._folder = folder
        self._heard = _Heard(signal)
        self._began = k8s.clock.monotonic()
        self._policies = Watch(k8s, NETWORKPOLICY, namespace, signal=self._heard)
        self._watches: dict[tuple[str, str], tuple[Watch, asyncio.Task[None]]] = {}
        self._made: tuple[object, Callers] | None = None
        self._remembered = _load(folder)

    async def run(self) -> None:
        """Follow for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._policies.run(), name="watch networkpolicies")
            while True:
                self._follow(group)
                known = self._synced()
                await self._heard.wait(LATE_SECONDS if known else POLL_SECONDS)
                if not known and self._synced():
                    self._heard.wake()  # a watch that has nothing to show says nothing

    @property
    def problems(self) -> list[str]:
        """What cannot be read, and why."""
        watches = [self._policies, *(watch for watch, _ in self._watches.values())]
        return [f"{watch.kind.plural}: {watch.problem}" for watch in watches if watch.problem]

    def callers(self, world: World, allocations: ports.Allocations) -> Callers | None:
        """For each port with an allocation; None while that is not known yet and may soon be."""
        if not self._synced():
            late = self._k8s.clock.monotonic() - self._began > LATE_SECONDS
            if self._made is not None:  # a rule now asks for pods that are not there yet
                return {key: self._made[1].get(key, ()) for key in _keys(allocations)}
            if self._remembered is None or not late:
                return None
            return {key: self._remembered.get(key, ()) for key in _keys(allocations)}
        asked = (self._heard.changes, _versions(world), tuple(_keys(allocations)))
        if self._made is None or self._made[0] != asked:
            made = self._work_out(world, allocations)
            if made != self._remembered:
                self._remember(made)
            self._made = (asked, made)
        return self._made[1]

    def _follow(self, group: asyncio.TaskGroup) -> None:
        """Begin the watches that rules need now, and end the others."""
        wanted = self._wanted()
        for key in wanted - self._watches.keys():
            kind = NAMESPACE if key == _NAMESPACES else POD
            watch = Watch(self._k8s, kind, key[1], signal=self._heard, keep=policy.kept if kind is POD else lean)
            self._watches[key] = (watch, group.create_task(watch.run(), name=f"watch {key[0]} {key[1]}"))
        for key in self._watches.keys() - wanted:
            self._watches.pop(key)[1].cancel()

    def _wanted(self) -> set[tuple[str, str]]:
        limiting = policy.isolating(self._policies.items)
        spaces = policy.named(limiting, self._namespace, self._namespaces())
        return {(POD.plural, space) for space in spaces} | (
            {_NAMESPACES} if policy.reads_namespaces(limiting) else set()
        )

    def _synced(self) -> bool:
        """Whether all that rules need has been seen once."""
        wanted = self._wanted()
        return self._policies.synced and all(key in self._watches and self._watches[key][0].synced for key in wanted)

    def _namespaces(self) -> dict[str, Mapping[str, str]]:
        known = self._watches.get(_NAMESPACES)
        return {name_of(item): labels_of(item) for item in known[0].items} if known else {}

    def _pods(self) -> dict[str, Sequence[policy.Pod]]:
        watches = {space: watch for (plural, space), (watch, _) in self._watches.items() if plural == POD.plural}
        return {space: policy.pods_of(watch.items) for space, watch in watches.items()}

    def _work_out(self, world: World, allocations: ports.Allocations) -> Callers:
        around = policy.Around(
            namespace=self._namespace,
            policies=policy.isolating(self._policies.items),
            namespaces=self._namespaces(),
            pods=self._pods(),
        )
        pods = around.pods.get(self._namespace, ())
        bridge = hosts(gateway_address())
        made: dict[str, tuple[str, ...] | None] = {}
        for item in allocations.values():
            service = selecting(world, item.service)
            called = behind(service, pods)
            found = policy.callers(around, called, target_port(service, item))
            made[_key(item)] = texts(None if found is None else found | bridge)
        return made

    def _remember(self, made: Callers) -> None:
        self._remembered = dict(made)
        log.info("callers", limited=sum(found is not None for found in made.values()), of=len(made))
        try:
            place(self._folder / FILE, json.dumps(dict(made), sort_keys=True).encode())
        except OSError as error:
            log.warning("cannot remember callers over a restart", why=error.strerror)


def selecting(world: World, service: str) -> Manifest | None:
    """The Service that selects the pods a waypoint port stands for: the leaf, or the Service itself; for a mirror,
    those of the same Service here, whose policies are the same on both sides.
    """
    known = world.services.get(service)
    base = service
    if known is not None and world.is_mirror(service):
        base = names.annotation(known, names.REMOTE_NAME).partition(".")[0]
    found = world.services.get(names.leaf_name(base))
    return found or world.services.get(base)


def behind(service: Manifest | None, pods: Sequence[policy.Pod]) -> tuple[policy.Called, ...]:
    """The pods of a Service; where none are there, those that the plan knew, or at least what its selector says."""
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    living = tuple(pod.called for pod in pods if matches(selector, pod.called.labels))
    if living:
        return living
    told = policy.read(names.annotation(service, names.PODS)) if service else ()
    return told or (policy.Called(labels=dict(selector)),)


def target_port(service: Manifest | None, item: ports.Allocation) -> int | str:
    """The number or name by which a Service port is known in pods."""
    for port in endpoints.ports_of(service) if service else ():
        if endpoints.port_key(port) == f"{item.port}/{item.transport}":
            target = port.get("targetPort") or port["port"]
            return target if isinstance(target, str) else int(str(target))
    return item.port


def gateway_address(routes: Path = ROUTES) -> list[str]:
    """The address by which this pod's own node speaks to it where pods hang on a bridge: its default gateway (IPv4)."""
    try:
        rows = [line.split() for line in routes.read_text().splitlines()[1:]]
        found = [bytes.fromhex(row[2])[::-1] for row in rows if row[1] == "00000000" and row[2] != "00000000"]
        return [str(IPv4Address(raw)) for raw in found]
    except (OSError, ValueError, IndexError):
        return []


def _key(item: ports.Allocation) -> str:
    return f"{item.service}/{item.port}"


def _keys(allocations: ports.Allocations) -> list[str]:
    return sorted(_key(item) for item in allocations.values())


def _versions(world: World) -> frozenset[tuple[str, str]]:
    return frozenset((name, item["metadata"].get("resourceVersion") or "") for name, item in world.services.items())


def _load(folder: Path) -> dict[str, tuple[str, ...] | None] | None:
    """What an earlier process remembered; None when it cannot be read."""
    try:
        found = json.loads((folder / FILE).read_text())
        return {str(key): None if value is None else tuple(map(str, value)) for key, value in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
