"""A metrics provider for tests without pods: traffic that divides as the live splits say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from landbridge.clients.kinds import TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock
from landbridge.model.look import Count, Cursor, Look, NoData, Reading
from landbridge.model.service import Route, ServiceId, Side


@dataclass
class Traffic:
    """So many requests a look in each cluster, failing on the target at a rate; `silent` services give no data."""

    source: Kubernetes
    target: Kubernetes
    clock: Clock
    requests: int = 2000
    bad: dict[ServiceId, float] = field(default_factory=dict)
    silent: set[ServiceId] = field(default_factory=set)
    stuck: dict[ServiceId, int] = field(default_factory=dict)
    """What the target's waypoint goes on to obey, whatever its split says."""
    unsafe: set[ServiceId] = field(default_factory=set)
    """Services that are asked by POST only."""
    looks: int = 0
    copied: int = 0

    async def read(self, routes: Sequence[Route], cursor: Cursor) -> Look:
        self.looks += 1
        readings = {route.service: await self._reading(route.service) for route in routes}
        return Look(at=self.clock.now(), cursor={"pod": {"looks": self.looks}}, readings=readings)

    async def _reading(self, service: ServiceId) -> Reading | NoData:
        if service in self.silent:
            return NoData(service=service, reason="nobody answers")
        counts, weights = {}, {}
        for k8s, backend in ((self.source, f"{service.name}-eks"), (self.target, f"{service.name}-leaf")):
            split = await k8s.get(TRAFFICSPLIT, service.name, service.namespace)
            percent = {b["service"]: b["weight"] for b in split["spec"]["backends"]}[backend]
            if k8s is self.target:
                percent = self.stuck.get(service, percent)
            new = self.requests * percent // 100
            failed = round(new * self.bad.get(service, 0.0))
            counts[k8s.name] = {
                Side.TARGET: Count(n=new, bad=failed),
                Side.SOURCE: Count(n=self.requests - new, bad=0),
            }
            weights[f"waypoint-{k8s.name}"] = percent
        return Reading(service=service, counts=counts, weights=weights, shadows=await self._shadows(service))

    async def _shadows(self, service: ServiceId) -> dict[str, dict[Side, Count]]:
        """Half of the requests are safe, and of these as many are copied as the live split says."""
        split = await self.source.get(TRAFFICSPLIT, service.name, service.namespace)
        backend, _, percent = split["metadata"]["annotations"].get("landbridge.dev/shadow", "").partition("=")
        if not percent:
            return {}
        assert backend == f"{service.name}-eks"
        safe = 0 if service in self.unsafe else self.requests // 2
        copies = safe * int(percent) // 100
        self.copied += copies
        bad = round(copies * self.bad.get(service, 0.0))
        return {self.source.name: {Side.SOURCE: Count(n=safe), Side.TARGET: Count(n=copies, bad=bad)}}
