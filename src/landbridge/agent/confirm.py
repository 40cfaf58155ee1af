"""Which waypoint pods really serve which ports: their agent says that Envoy obeys, and the port was dialled.

"Listener active" proves nothing (waypoint.md 13.3), so a pod enters a slice only after both. Once in, it stays for as
long as it is ready, whatever its agent does: slices follow Envoy, not the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from landbridge.agent import names
from landbridge.agent.ports import Allocation, Allocations
from landbridge.agent.slices import Pod
from landbridge.clients.http import Http, NoAnswerError, Question

DIAL_SECONDS = 3.0  # a node under load answers late; nothing waits for this but the pod itself


class Confirmations:
    """What was confirmed, by pod uid and waypoint port; an earlier leader's slices count as confirmed."""

    def __init__(self) -> None:
        self._ports: dict[str, set[int]] = {}
        self._stood_for: dict[str, dict[int, str]] = {}
        self._http = Http(trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def inherit(self, pods: Iterable[Pod], held: Mapping[str, frozenset[int]]) -> None:
        """Take over what slices already say of pods that are ready."""
        for pod in pods:
            known = set().union(*(held.get(address, frozenset()) for address in pod.addresses))
            if pod.ready and known:
                self._ports.setdefault(pod.uid, set()).update(known)

    def keep(self, pods: Iterable[Pod], allocations: Allocations) -> None:
        """Forget ports that stand for nothing any more, or for another Service port: they have to be dialled anew.

        A Service that was given back and is adopted again gets its old number, and its listener is not there yet: a
        slice written too soon refused connections.
        """
        stand_for = {item.listen: key for key, item in allocations.items()}
        for pod in pods:
            before = self._stood_for.get(pod.uid, {})
            still = {n for n, key in stand_for.items() if before.get(n, key) == key}
            self._ports[pod.uid] = self._ports.get(pod.uid, set()) & still
            self._stood_for[pod.uid] = stand_for

    def has(self, pod: Pod, listen: Iterable[int]) -> bool:
        """Whether a pod serves all these ports."""
        return set(listen) <= self._ports.get(pod.uid, set())

    async def confirm(self, pod: Pod, wanted: Iterable[Allocation]) -> bool:
        """Ask a pod for what is not confirmed yet; True when something was."""
        missing = [item for item in wanted if item.listen not in self._ports.get(pod.uid, set())]
        if not missing or not pod.ready or not pod.addresses:
            return False
        active = (await self._ask(pod, "/active")).get("active") or {}
        served = [item for item in missing if active.get(f"{pod.namespace}/{item.service}/{item.port}") == item.listen]
        dialled = await asyncio.gather(*(dial(pod, item) for item in served))
        found = {item.listen for item, answered in zip(served, dialled, strict=True) if answered}
        self._ports.setdefault(pod.uid, set()).update(found)
        return bool(found)

    async def state(self, pod: Pod) -> dict[str, Any]:
        """What a pod's agent says of itself; empty when it does not answer."""
        return await self._ask(pod, "/state")

    async def _ask(self, pod: Pod, page: str) -> dict[str, Any]:
        try:
            url = f"http://{_host(pod.addresses[0])}:{names.AGENT_PORT}{page}"
            content = (await self._http.ask(Question(method="GET", url=url, seconds=DIAL_SECONDS))).json()
        except (NoAnswerError, ValueError, IndexError):
            return {}
        return content if isinstance(content, dict) else {}


async def dial(pod: Pod, item: Allocation) -> bool:
    """Whether a waypoint port of a pod takes connections; UDP has nothing to dial."""
    if item.transport == "UDP":
        return True
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            _, writer = await asyncio.open_connection(pod.addresses[0], item.listen)
            writer.close()
    except (OSError, TimeoutError):
        return False
    return True


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
