"""Gives LoadBalancer Services an address of the node network, as a cloud's controller would.

It watches Services, puts the address on the node's eth0 and writes `status.loadBalancer`; kube-proxy does the rest.
Runs as one background process per cluster: `python -m landbridge.lab.cluster.balancer KUBECONFIG NETNS ADDRESS...`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from landbridge.clients.kubernetes import SERVICE, Kubernetes
from landbridge.clock import Clock, SystemClock
from landbridge.errors import LandbridgeError
from landbridge.lab.host.command import in_netns, run
from landbridge.model.service import Manifest

Key = tuple[str, str]
"""A Service's namespace and name."""


def get_address(service: Manifest) -> str | None:
    """The address that a LoadBalancer Service has, or None."""
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or [{}]
    address: str | None = ingress[0].get("ip")
    return address


def wants_address(service: Manifest) -> bool:
    """Whether a Service is a LoadBalancer that is ours to serve (it names no other class) and is not going away."""
    spec = service["spec"]
    return (
        spec.get("type") == "LoadBalancer"
        and not spec.get("loadBalancerClass")
        and "deletionTimestamp" not in service["metadata"]
    )


def choose(services: Iterable[Manifest], pool: Iterable[str]) -> dict[Key, str]:
    """Address of every LoadBalancer Service: what it has, what it asks for, or the first free one."""
    wanting = [service for service in services if wants_address(service)]
    free = list(pool)
    chosen: dict[Key, str] = {}
    for ask in (get_address, _get_asked):
        for service in wanting:
            address = ask(service)
            if address in free and get_key(service) not in chosen:
                chosen[get_key(service)] = address
                free.remove(address)
    for service in wanting:
        if get_key(service) not in chosen and free:
            chosen[get_key(service)] = free.pop(0)
    return chosen


def get_key(service: Manifest) -> Key:
    """Which Service it is."""
    return service["metadata"]["namespace"], service["metadata"]["name"]


def _get_asked(service: Manifest) -> str | None:
    asked: str | None = service["spec"].get("loadBalancerIP")
    return asked


class Balancer:
    """Keeps addresses in step with the Services of one cluster."""

    def __init__(self, api: Kubernetes, netns: str, pool: tuple[str, ...], clock: Clock) -> None:
        self._api = api
        self._netns = netns
        self._pool = pool
        self._clock = clock
        self._on_node: set[str] = set()

    async def serve(self) -> None:
        """List, write, watch until something changes, and again; a lost API server is waited for."""
        while True:
            try:
                services, version = await self._api.list_at(SERVICE)
                await self.write(services)
                await self._wait_change(services, version)
            except LandbridgeError as error:
                print(error, file=sys.stderr, flush=True)  # noqa: T201 - its log
                await self._clock.sleep(0.5)

    async def write(self, services: Sequence[Manifest]) -> None:
        """Put addresses on the node and into the Services' status; who gets none keeps none."""
        chosen = choose(services, self._pool)
        await self._put_on_node(set(chosen.values()))
        for service in filter(wants_address, services):
            address = chosen.get(get_key(service))
            if get_address(service) != address:
                status = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}] if address else None}}
                namespace, name = get_key(service)
                await self._api.patch(SERVICE, name, {"status": status}, namespace, subresource="status")

    async def _put_on_node(self, wanted: set[str]) -> None:
        for verb, addresses in (("replace", wanted - self._on_node), ("del", self._on_node - wanted)):
            for address in sorted(addresses):
                await run(*in_netns(self._netns), "ip", "addr", verb, f"{address}/32", "dev", "eth0")
        self._on_node = wanted

    async def _wait_change(self, services: Sequence[Manifest], version: str) -> None:
        """Return when the set of LoadBalancer Services is no longer what was listed, or the watch ends."""
        served = {get_key(service) for service in services if wants_address(service)}
        async for event, service in self._api.watch(SERVICE, version=version, seconds=280):
            if event == "BOOKMARK":
                continue
            wants = event != "DELETED" and wants_address(service)
            if wants != (get_key(service) in served) or (wants and not get_address(service)):
                return


async def _main(kubeconfig: str, netns: str, *pool: str) -> None:
    async with Kubernetes.connect(Path(kubeconfig)) as api:
        await Balancer(api, netns, pool, SystemClock()).serve()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
