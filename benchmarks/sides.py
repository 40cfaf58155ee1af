"""Both sides of one service, all real: two API servers, and in each a gateway and a waypoint with agent and Envoy.

The clusters are joined both ways, the leading agents make the mirrors and give out the ports, and the weights are
written by the product's two-sided switch under a run lease that is kept. Needs root: EndpointSlices refuse loopback
addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx2
from tests.agent.bed import CLOCK, Bed, Seat
from tests.agent.pair import Pair

from benchmarks.traffic import Backends, backends, say
from landbridge.agent import names
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import wait_for
from landbridge.lab import apiserver
from landbridge.model.mirror import mirror_name
from landbridge.model.service import ServiceId, Side
from landbridge.run.lease import RunLease
from landbridge.run.switches import Switchboard, TwoSided

LEGACY, EKS = "legacy", "eks"
OTHER = {LEGACY: EKS, EKS: LEGACY}
HOPS = "x-hops"
"""The header to which both gateways append the name of their cluster."""
GATEWAYS, WAYPOINTS, PODS = {LEGACY: 20, EKS: 30}, {LEGACY: 11, EKS: 12}, {LEGACY: 101, EKS: 102}
TTL = 15.0


@dataclass(frozen=True, kw_only=True)
class Sides:
    """The service `web` in both clusters, home in `legacy`."""

    namespace: str
    waypoints: Mapping[str, str]
    """Where the callers of each cluster send to."""
    agents: Mapping[str, str]
    """Where each waypoint's agent says what its Envoy obeys."""
    backends: Backends
    switches: TwoSided
    http: httpx2.AsyncClient

    async def turn(self, percent: int) -> None:
        """Send so many percent of everybody's requests to eks, and wait until both Envoys say that they do."""
        await self.switches.set(await self.switches.read(), percent)

        async def obeyed() -> bool:
            shares = await asyncio.gather(*(self._leaf(cluster) for cluster in OTHER))
            return shares == [100 - percent, percent]

        await wait_for(obeyed, what=f"both waypoints obey {percent} %", within=20, clock=CLOCK, every=0.02)

    async def _leaf(self, cluster: str) -> int:
        """The share of a cluster's own pods, of the weights that its Envoy has acknowledged; -1 when nobody says so."""
        try:
            answer = await self.http.get(f"http://{self.agents[cluster]}/counters")
        except httpx2.HTTPError:  # a kept connection that the agent has just closed, among others
            return -1
        route = (answer.json().get("routes") or {}).get(f"{self.namespace}/web/80") or {}
        return int((route.get("weights") or {}).get("web-leaf", -1))


def pods(prefix: str) -> dict[str, str]:
    """Where the pods of each cluster listen."""
    return {cluster: f"{prefix}.{number}:8080" for cluster, number in PODS.items()}


@asynccontextmanager
async def sides(prefix: str) -> AsyncIterator[Sides]:
    """Everything up, joined, adopted and at home."""
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(backends(pods(prefix), HOPS))
        beds = await _clusters(stack, prefix)
        pair = Pair(*beds.values())
        seats = {cluster: await _furnish(pair, beds, cluster) for cluster in beds}
        ports = {cluster: await _port(pair, beds[cluster], seats[cluster]) for cluster in beds}
        for cluster, bed in beds.items():
            await _mirrored(pair, bed, mirror_name("web", OTHER[cluster]))
        switches = await _switches(stack, beds)
        yield Sides(
            namespace=beds[LEGACY].namespace,
            waypoints={cluster: f"{seat.address}:{ports[cluster]}" for cluster, seat in seats.items()},
            agents={cluster: f"{seat.address}:{names.AGENT_PORT}" for cluster, seat in seats.items()},
            backends=serving,
            switches=switches,
            http=await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=5)),
        )


async def _clusters(stack: AsyncExitStack, prefix: str) -> dict[str, Bed]:
    """Two API servers, with the same namespace in both."""
    beds: dict[str, Bed] = {}
    for name in OTHER:
        server = await stack.enter_async_context(apiserver(name=name, say=say))
        k8s = await stack.enter_async_context(Kubernetes.connect(server.kubeconfig, name=name))
        bed = Bed(k8s, server.kubeconfig, prefix, cluster=name)
        bed.namespace = next((one.namespace for one in beds.values()), bed.namespace)
        beds[name] = await stack.enter_async_context(bed)
    return beds


async def _furnish(pair: Pair, beds: Mapping[str, Bed], cluster: str) -> Seat:
    """The exported service with its pods, a gateway that leads, and the waypoint, which is returned."""
    bed, other = beds[cluster], OTHER[cluster]
    await pair.secrets(bed, beds[other], f"{bed.prefix}.{GATEWAYS[other]}:15443")
    await bed.adopted("web", labels={names.EXPORTED: "true"})
    await bed.slice("web-leaf", f"{bed.prefix}.{PODS[cluster]}")
    await pair.seat(bed, "gateway", GATEWAYS[cluster], other, hop_header=HOPS)
    waypoint = await pair.seat(bed, "waypoint", WAYPOINTS[cluster], other)
    await bed.probe(waypoint)
    return waypoint


async def _port(pair: Pair, bed: Bed, waypoint: Seat) -> int:
    """Where the waypoint listens for the service, once its Service points there."""

    async def pointed() -> int | None:
        ours = [item for item in await bed.slices("web") if names.ours(item)]
        held = [address for item in ours for end in item["endpoints"] for address in end["addresses"]]
        return int(ours[0]["ports"][0]["port"]) if held == [waypoint.address] else None

    found: int = await pair.eventually(pointed, f"web in {bed.cluster} points to its waypoint")
    return found


async def _mirrored(pair: Pair, bed: Bed, mirror: str) -> None:
    """Wait until a mirror answers: until its leader has made it, and has heard so through the other gateway."""

    async def ready() -> bool:
        ends = [end for item in await bed.slices(mirror) if names.ours(item) for end in item["endpoints"]]
        return bool(ends) and all(end["conditions"]["ready"] for end in ends)

    await pair.eventually(ready, f"{mirror} is ready")


async def _switches(stack: AsyncExitStack, beds: Mapping[str, Bed]) -> TwoSided:
    """The product's own switches, with a run lease that somebody keeps: without it the splits would go home."""
    source, target = (bed.k8s for bed in beds.values())
    lease = RunLease((source, target), "flips", ttl=TTL, clock=CLOCK)
    await stack.enter_async_context(lease.held())
    keeping = asyncio.create_task(lease.keep())
    stack.push_async_callback(_end, keeping)
    board = Switchboard(source, target, token=lease.token, on_expiry="home")
    service = ServiceId(beds[LEGACY].namespace, "web")
    switches = await board.of(service, wanted=dict.fromkeys(Side, "trafficsplit"))
    await switches.prepare()
    return switches


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
