"""The two switches of a service as one: read, set, sent home, in the order of law 5."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import DriftError, LandbridgeError
from landbridge.laws import twosided
from landbridge.laws.twosided import Splits, Write
from landbridge.model.journal import Receipt
from landbridge.model.service import BUILTIN, MESHES, Mesh, Route, ServiceId, Side, Switch, Weight
from landbridge.shift.extras import HeaderRoute
from landbridge.shift.router import Place, Router, RouterKind, kept, version
from landbridge.shift.table import router_of

DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSided:
    """Both routers of one service.

    Where backends are leaves or mirrors of leaves, or gateways obey no split, no weights make a loop and both sides
    carry the same. Else the switches are `chained`: the order of law 5 is kept, each write confirmed before the next.
    """

    service: ServiceId
    routers: Mapping[Side, Router]
    kinds: Mapping[Side, RouterKind]
    domains: Mapping[Side, str] = field(default_factory=dict)
    chained: bool = False
    source: str = ""
    """The source cluster's name."""

    @property
    def divided(self) -> str:
        """The cluster whose callers alone a weight divides; empty when it divides everybody's."""
        return self.source if self.chained else ""

    def route(self) -> Route:
        """The switches in the order in which a raise writes them."""
        order = [write.side for write in twosided.writes(1, leaf=not self.chained)]
        switches: list[Switch] = [self._switch(side) for side in order]
        return Route(
            service=self.service, switches=tuple(switches), granularity=self.routers[Side.SOURCE].limits.granularity
        )

    async def prepare(self) -> tuple[Receipt, ...]:
        """All traffic home, on the target first: its callers are the guests. Chained ones keep law 5's order."""
        if not self.chained:
            return (await self.routers[Side.TARGET].prepare(), await self.routers[Side.SOURCE].prepare())
        made = []
        for write in twosided.writes(0):
            made.append(await self.routers[write.side].prepare())
            await self.routers[write.side].confirm()
        return tuple(made)

    def at(self, percent: int) -> Mapping[Side, int]:
        """What each switch declares while the service is at a weight."""
        splits = twosided.standing(percent, leaf=not self.chained)
        return {side: splits[side] for side in Side}

    async def read(self) -> dict[Side, Weight]:
        """Both weights, live."""
        source, target = await asyncio.gather(*(self.routers[side].get_weight() for side in Side))
        return {Side.SOURCE: source, Side.TARGET: target}

    async def expect(self, allowed: Sequence[int]) -> dict[Side, Weight]:
        """Both weights, which must be those of one of these percents; DriftError otherwise."""
        live = await self.read()
        for side, weight in live.items():
            known = [self.at(percent)[side] for percent in allowed]
            if weight.percent not in known:
                expected = Weight(percent=known[0], version="")
                await self.routers[side].set_weight(expected, known[0])  # refuses, and names the writer
                raise DriftError(f"the weight of {self.service} on the {side} is {weight.percent} %")
        return live

    async def set(self, live: Mapping[Side, Weight], percent: int) -> tuple[Receipt, ...]:
        """Write both, each on condition of the version read; the side that gains load last."""
        raising = percent >= min(weight.percent for weight in live.values())
        written = await self._write(live, twosided.writes(percent, leaf=not self.chained, raising=raising))
        if not self.chained:
            await asyncio.gather(*(router.confirm() for router in self.routers.values()))
        return written

    async def _write(self, live: Mapping[Side, Weight], writes: Sequence[Write]) -> tuple[Receipt, ...]:
        now, made = Splits(live[Side.SOURCE].percent, live[Side.TARGET].percent), []
        for write in writes:
            if refusal := twosided.may_write(now, write, leaf=not self.chained):
                raise LandbridgeError(
                    f"{self.service}: {refusal}",
                    advice="`landbridge rollback` it: the source's switch goes to 0 first, then the target's",
                )
            made.append(await self.routers[write.side].set_weight(live[write.side], write.percent))
            now = now.write(write)
            if self.chained:
                await self.routers[write.side].confirm()
        return tuple(made)

    async def home(self, live: Mapping[Side, Weight]) -> tuple[Receipt, ...]:
        """Both to 0 at once, for each millisecond counts and no order can make a loop; chained ones in order."""
        if self.chained:
            return await self._write(live, twosided.writes(0))
        sides = [write.side for write in twosided.writes(0, leaf=True, raising=False)]
        return tuple(await asyncio.gather(*(self.routers[side].set_weight(live[side], 0) for side in sides)))

    @property
    def shadows(self) -> bool:
        """Whether both routers can have requests copied."""
        return all(router.limits.header_route for router in self.routers.values())

    async def set_shadow(self, percent: int) -> tuple[Receipt, ...]:
        """Both copy so many percent of the safe requests to the target; 0 is off."""
        routers = [cast(HeaderRoute, self.routers[side]) for side in (Side.TARGET, Side.SOURCE)]
        return tuple([await router.set_shadow(percent) for router in routers])

    async def finish(self) -> tuple[Receipt, ...]:
        """The target is home on both sides."""
        return (await self.routers[Side.TARGET].finish(), await self.routers[Side.SOURCE].finish())

    async def standing(self, side: Side, k8s: Kubernetes) -> Receipt | None:
        """The switch of a side as it is in its cluster, to put it back later; None when there is none."""
        found = await k8s.find(self.kinds[side].kind, self._switch(side).ref.name, self.service.namespace)
        if found is None:
            return None
        return Receipt(side=side, ref=self._switch(side).ref, prior=kept(found), version=version(found))

    async def remove(self, standing: Receipt) -> None:
        """Take a switch away whose receipt has been journalled."""
        await self.routers[standing.side].restore(Receipt(side=standing.side, ref=standing.ref, prior=None))

    async def restore(self, receipts: Sequence[Receipt]) -> None:
        """Put both back; the target's first where it is put back to something, for it may be what the source needs."""
        rising = any(receipt.prior is not None for receipt in receipts)
        for side in (Side.TARGET, Side.SOURCE) if rising else (Side.SOURCE, Side.TARGET):
            for receipt in receipts:
                if receipt.side is side:
                    await self.routers[side].restore(receipt)

    async def exists(self, side: Side) -> bool:
        """Whether the switch is there."""
        try:
            await self.routers[side].get_weight()
        except NotFoundError:
            return False
        return True

    def _switch(self, side: Side) -> Switch:
        return self.kinds[side].switch(side, self.service, self.domains.get(side, DOMAIN))


class Switchboard:
    """Makes and keeps the two routers of each service: a router remembers what it last wrote."""

    def __init__(
        self,
        source: Kubernetes,
        target: Kubernetes,
        *,
        token: Callable[[str], str],
        on_expiry: str,
    ) -> None:
        self._clusters = {Side.SOURCE: source, Side.TARGET: target}
        self._token = token
        self._on_expiry = on_expiry
        self._made: dict[ServiceId, TwoSided] = {}
        self._kinds: dict[tuple[Side, str], RouterKind] = {}

    async def of(
        self,
        service: ServiceId,
        *,
        size: int = 1,
        wanted: Mapping[Side, str] | None = None,
        mesh: Mesh = BUILTIN,
        domains: Mapping[Side, str] | None = None,
    ) -> TwoSided:
        """The switches of a service, of the routers `wanted` or of what each cluster serves.

        `size` is what home needs before an expiry may send traffic there.
        """
        if service not in self._made:
            domains = domains or {}
            kinds = {side: await self._kind(side, (wanted or {}).get(side, "")) for side in Side}
            places = {side: self._place(side, size, mesh, domains.get(side, DOMAIN)) for side in Side}
            self._made[service] = TwoSided(
                service=service,
                routers={side: kinds[side].make(places[side], service) for side in Side},
                kinds=kinds,
                domains=domains,
                source=self._clusters[Side.SOURCE].name,
                chained=twosided.is_chained((kinds[side].limits.chains for side in Side), leaf=mesh.leaves),
            )
        return self._made[service]

    async def planned(self, service: ServiceId, split: Mapping[str, Any]) -> TwoSided:
        """The same as its split act says it, by the act's arguments."""
        return await self.of(
            service,
            size=int(split.get("replicas", 1)),
            wanted=by_side(split.get("router")),
            mesh=MESHES[str(split.get("plane", BUILTIN.name))],
            domains=by_side(split.get("domain")),
        )

    async def _kind(self, side: Side, wanted: str) -> RouterKind:
        if (side, wanted) not in self._kinds:
            self._kinds[side, wanted] = await router_of(self._clusters[side], wanted)
        return self._kinds[side, wanted]

    def _place(self, side: Side, size: int, mesh: Mesh, domain: str) -> Place:
        k8s = self._clusters[side]
        return Place(
            k8s=k8s,
            side=side,
            other=self._clusters[side.other].name,
            token=lambda: self._token(k8s.name),
            on_expiry=self._on_expiry,
            size=size,
            mesh=mesh,
            domain=domain,
        )


def by_side(said: Any) -> dict[Side, str]:
    """What an act says for each side, or once for both; nothing where it says nothing."""
    if isinstance(said, Mapping):
        return {Side(side): str(value) for side, value in said.items()}
    return dict.fromkeys(Side, str(said)) if said else {}
