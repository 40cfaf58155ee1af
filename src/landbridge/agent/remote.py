"""One linked cluster as the leader sees it: what it exports, and which of that answers through its gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from landbridge.agent import endpoints, names
from landbridge.agent.latency import RoundTrips
from landbridge.agent.links import Link, gateway_endpoint
from landbridge.agent.probe import AGAIN, EVERY, PER_SECOND, Health, Prober
from landbridge.agent.watching import Signal, Watch, Watches
from landbridge.clients.kubeconfig import Context
from landbridge.clients.kubernetes import SERVICE, Kubernetes
from landbridge.clock import Clock
from landbridge.envoy.state import sni
from landbridge.model.service import Manifest

Key = tuple[str, str]


class Remote:
    """Follows the exported Services of `link` and probes each of them. `health` is by (namespace, Service)."""

    def __init__(self, link: Link, context: Context, prober: Prober, clock: Clock, signal: Signal) -> None:
        self.link = link
        self._k8s = Kubernetes(context, name=link.cluster, clock=clock)
        self._prober = prober
        self._signal = signal
        self._exported = Watch(self._k8s, SERVICE, signal=signal, labels=f"{names.EXPORTED}=true")
        self._health: dict[Key, Health] = {}
        self._trips = RoundTrips()

    async def run(self) -> None:
        """Follow and probe until cancelled."""
        try:
            async with Watches((self._exported,)):
                while True:
                    began = self._k8s.clock.monotonic()
                    await self._probe()
                    every = max(EVERY, len(self._health) / PER_SECOND)
                    await self._k8s.clock.sleep(max(0.1, every - (self._k8s.clock.monotonic() - began)))
        finally:
            await self._k8s.close()

    @property
    def synced(self) -> bool:
        """Whether its exports have been listed; before that nothing here may be deleted."""
        return self._exported.synced

    @property
    def revision(self) -> int:
        """Rises whenever its exports change, and when they were listed."""
        return self._exported.revision * 2 + self._exported.synced

    @property
    def problem(self) -> str:
        """Why not, empty when they have."""
        return self._exported.problem

    @property
    def exported(self) -> Sequence[Manifest]:
        """Its exported Services; mirrors of it are no exports."""
        return [item for item in self._exported.items if names.label(item, names.MIRRORED) != "true"]

    def ready(self, namespace: str, service: str) -> bool | None:
        """Whether a Service answers through the gateway; None while nobody knows."""
        found = self._health.get((namespace, service))
        return found.ready if found else None

    def believe(self, namespace: str, service: str, *, ready: bool) -> None:
        """Begin with what a slice says already, so that a new leader changes nothing by arriving."""
        self._health.setdefault((namespace, service), Health(ready=ready))

    def report(self) -> dict[str, Any]:
        """Whether its gateway answers and how fast, and for how many Services."""
        ready = sum(health.ready is True for health in self._health.values())
        return {"ready": ready, "probed": len(self._health)} | self._trips.report(self._k8s.clock.monotonic())

    async def _probe(self) -> None:
        keys = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in self.exported}
        if self.synced:
            self._health = {key: health for key, health in self._health.items() if key in keys}
        doubtful = await self._ask_all(keys)
        if doubtful:  # one failure is not enough: asked again soon, so that a dead remote shows early
            await self._k8s.clock.sleep(AGAIN)
            await self._ask_all({key: keys[key] for key in doubtful})

    async def _ask_all(self, keys: Mapping[Key, Manifest]) -> list[Key]:
        """Ask once for each; returns those that failed and still count as ready."""
        answers = await asyncio.gather(*(self._ask(key, item) for key, item in keys.items()))
        doubtful: list[Key] = []
        for key, answered in zip(keys, answers, strict=True):
            before = self._health.get(key, Health())
            after = before.after(answered=answered)
            self._health[key] = after
            if before.ready is not after.ready:
                self._signal.pass_on({key[0]})
            if after.failures and after.ready:
                doubtful.append(key)
        return doubtful

    async def _ask(self, key: Key, service: Manifest) -> bool:
        ports = [port for port in endpoints.ports_of(service) if (port.get("protocol") or "TCP") == "TCP"]
        if not ports:
            return False
        name = names.health_sni(sni(key[1], key[0], self.link.cluster, int(str(ports[0]["port"]))))
        gateways = [gateway_endpoint(text) for text in self.link.gateways]
        return await self._prober.answers(gateways, name, self.link.identity, self._trips)
