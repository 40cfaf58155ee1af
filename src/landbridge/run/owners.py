"""What others do to a service while it is in shift: new templates, replicas that are missing, foreign weights."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import DriftError, LandbridgeError
from landbridge.model.service import Manifest, ServiceId, Side
from landbridge.run.switches import Switchboard
from landbridge.run.workloads import KINDS, Behind, of_selector, selector_of

PORTS_DRIFT = "landbridge.dev/drift"
"""Set on the leaf by the agent when the owner changed what cannot be restored."""


class Owners(Protocol):
    """Asked by the observer with every look."""

    async def begin(self, service: ServiceId) -> None:
        """A weight is about to be written; what is there now is what changes are measured against."""
        ...

    def written(self, service: ServiceId, percent: int) -> None:
        """It was written: any other weight is somebody else's from now on."""
        ...

    def end(self, service: ServiceId) -> None:
        """A watch ends."""
        ...

    async def look(self, services: Sequence[ServiceId]) -> None:
        """Read both clusters; a cluster that does not answer leaves things as they were."""
        ...

    def changed(self, service: ServiceId) -> str:
        """What is new since the last look (an image, a template); said once."""
        ...

    def check(self, service: ServiceId) -> None:
        """DriftError when somebody wrote what is ours."""
        ...

    def unready(self, service: ServiceId) -> str:
        """Why a service's target is not whole, empty when it is."""
        ...

    def source_unready(self, service: ServiceId) -> str:
        """Why the source could not carry everything now, empty when it could (law 8)."""
        ...


@dataclass(slots=True, kw_only=True)
class Known:
    """What is known of one service in shift."""

    selectors: Mapping[Side, Mapping[str, str]]
    percent: int | None = None
    behind: dict[Side, Behind] = field(default_factory=dict)
    templates: dict[Side, str] = field(default_factory=dict)
    drift: DriftError | None = None
    news: str = ""


class ClusterOwners:
    """Reads workloads, apexes and switches of the services in shift, a few requests a namespace each look."""

    def __init__(self, source: Kubernetes, target: Kubernetes, switchboard: Switchboard) -> None:
        self._clusters = {Side.SOURCE: source, Side.TARGET: target}
        self._switchboard = switchboard
        self._known: dict[ServiceId, Known] = {}

    async def begin(self, service: ServiceId) -> None:
        """Remember the templates of this moment."""
        selectors = {side: await selector_of(k8s, service) for side, k8s in self._clusters.items()}
        known = self._known[service] = Known(selectors=selectors)
        await asyncio.gather(*(self._look_space(side, service.namespace, [service]) for side in Side))
        known.news = ""

    def written(self, service: ServiceId, percent: int) -> None:
        """The weight that the switches should have."""
        self._known[service].percent = percent

    def end(self, service: ServiceId) -> None:
        """Forget."""
        self._known.pop(service, None)

    async def look(self, services: Sequence[ServiceId]) -> None:
        """Read every namespace once a cluster, then each switch."""
        known = [service for service in services if service in self._known]
        spaces = sorted({service.namespace for service in known})
        await asyncio.gather(*(self._look_space(side, space, known) for space in spaces for side in Side))
        await asyncio.gather(*(self._look_switches(service) for service in known))

    async def _look_space(self, side: Side, space: str, services: Sequence[ServiceId]) -> None:
        k8s = self._clusters[side]
        try:
            lists = await asyncio.gather(*(k8s.together.list(kind, space) for kind in (*KINDS, SERVICE)))
        except LandbridgeError:
            return
        workloads = [item for items in lists[:-1] for item in items]
        by_name = {item["metadata"]["name"]: item for item in lists[-1]}
        for service in services:
            if service.namespace == space and service in self._known:
                self._compare(self._known[service], side, workloads, by_name.get(f"{service.name}-leaf"), service)

    def _compare(
        self, known: Known, side: Side, workloads: Sequence[Manifest], leaf: Manifest | None, service: ServiceId
    ) -> None:
        behind = known.behind[side] = of_selector(workloads, known.selectors[side])
        before = known.templates.get(side)
        known.templates[side] = behind.template
        if before is not None and before != behind.template:
            known.news = f"new image or template on the {side.value}"
        told = ((leaf or {}).get("metadata", {}).get("annotations") or {}).get(PORTS_DRIFT)
        if told:
            known.drift = DriftError(
                f"the owner changed the Service: {told}",
                where=f"Service {service} in {self._clusters[side].name}",
                advice="`landbridge rollback` the service, then plan it again",
            )

    async def _look_switches(self, service: ServiceId) -> None:
        known = self._known.get(service)
        if known is None or known.percent is None:
            return
        try:
            await (await self._switchboard.of(service)).expect((known.percent,))
        except DriftError as error:
            known.drift = error
        except LandbridgeError:
            return

    def changed(self, service: ServiceId) -> str:
        """News are told once."""
        known = self._known[service]
        news, known.news = known.news, ""
        return news

    def check(self, service: ServiceId) -> None:
        """Raise what was found."""
        if error := self._known[service].drift:
            raise error

    def unready(self, service: ServiceId) -> str:
        """The target's missing replicas."""
        return _missing(self._known[service], Side.TARGET)

    def source_unready(self, service: ServiceId) -> str:
        """The source's missing replicas."""
        return _missing(self._known[service], Side.SOURCE)


def in_turn(services: Sequence[ServiceId], tick: int) -> list[ServiceId]:
    """Whose owners the look of this number reads: one namespace's, each every other time at most (pure).

    These are most of the requests of a look: two for each service, and lists of all its namespace's workloads.
    """
    spaces = sorted({service.namespace for service in services})
    turn = tick % max(2, len(spaces))
    return [service for service in services if service.namespace in spaces[turn : turn + 1]]


def _missing(known: Known, side: Side) -> str:
    behind = known.behind.get(side)
    if behind is None:
        return f"nothing is known of the {side.value}'s workloads"
    health = behind.health
    if health.ready < max(health.wanted, 1):
        return f"the {side.value} has {health.ready} of {health.wanted} replicas ready"
    return ""
