"""Two clusters joined by hand: authorities and links both ways, and pods at addresses of their own."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from landbridge.agent import names
from landbridge.clients.kubernetes import SECRET
from landbridge.clock import DeadlineError, wait_for
from landbridge.connect import identity
from landbridge.model.service import Manifest
from tests.agent.bed import CLOCK, Bed, Seat, encoded, tls


class Pair:
    """`legacy` with a leader and a waypoint, `eks` with a gateway; `web` is exported there."""

    def __init__(self, legacy: Bed, eks: Bed) -> None:
        self.legacy, self.eks = legacy, eks
        self.authorities = {bed.cluster: identity.make_authority(bed.cluster, now=CLOCK.now()) for bed in (legacy, eks)}
        self.seats: list[Seat] = []
        self.gateway: Seat
        self.leader: Seat

    async def eventually(self, check: Callable[[], Awaitable[Any]], what: str, within: float = 60) -> Any:
        try:
            return await wait_for(check, what=what, within=within, clock=CLOCK)
        except DeadlineError as error:
            told = [f"{await seat.get('/state')}\n{seat.tail()}" for seat in self.seats]
            raise AssertionError(f"{error}: {' '.join(told)}") from None

    async def readiness(self, mirror: str = "web-eks") -> bool | None:
        """What the mirror's slice says; None while there is none."""
        found = [item for item in await self.legacy.slices(mirror) if names.ours(item)]
        return (
            all(endpoint["conditions"]["ready"] for item in found for endpoint in item["endpoints"]) if found else None
        )

    async def ready(self, mirror: str = "web-eks", *, is_ready: bool, within: float = 60) -> None:
        async def check() -> bool:
            return await self.readiness(mirror) is is_ready

        await self.eventually(check, f"the slice of {mirror} says ready: {is_ready}", within)

    async def secrets(
        self, bed: Bed, other: Bed, *gateways: str, kubeconfig: bytes = b"", **policy: dict[str, Any]
    ) -> None:
        """The authority of a cluster and its link to the other one; `policy` may have `exports` and `mirrors`."""
        mine, theirs = self.authorities[bed.cluster], self.authorities[other.cluster]
        who = identity.spiffe(other.cluster, names.NAMESPACE, names.GATEWAY)
        link = {"cluster": other.cluster, "gateway": list(gateways), "identity": who, **policy}
        await self.secret(bed, names.CA, {"tls.crt": mine.certificate, "tls.key": mine.key})
        data: dict[str, bytes | str] = {
            "kubeconfig": kubeconfig or other.kubeconfig.read_bytes(),
            "link.json": json.dumps(link),
        }
        await self.secret(bed, names.LINK + other.cluster, data | {"ca.crt": theirs.trusted})

    async def secret(self, bed: Bed, name: str, data: dict[str, bytes | str], namespace: str = names.NAMESPACE) -> None:
        """A Secret as it has to be, replaced in one write when it is there."""
        meta = {"name": name, "namespace": namespace}
        manifest: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded(data)}
        if await bed.k8s.find(SECRET, name, namespace):
            await bed.k8s.replace(manifest)
        else:
            await bed.k8s.create(manifest)

    async def seat(
        self,
        bed: Bed,
        role: str,
        number: int,
        link: str,
        *,
        hosts: Path | None = None,
        exports: str = "",
        hop_header: str = "",
    ) -> Seat:
        """A pod with certificates, its Envoy and its agent."""
        seat = await bed.seat(role, number, links=(link,) if role == "gateway" else ())
        account = names.GATEWAY if role == "gateway" else names.WAYPOINT
        who = identity.spiffe(bed.cluster, seat.namespace, account)
        other = next(name for name in self.authorities if name != bed.cluster)
        seat.hosts, seat.exports, seat.hop_header = hosts, exports, hop_header
        tls(seat.tls_dir, self.authorities[bed.cluster], who, self.authorities[other].trusted)
        await seat.start_envoy()
        await seat.start_agent()
        self.seats.append(seat)
        return seat
