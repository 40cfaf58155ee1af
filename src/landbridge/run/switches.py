"""The two switches of a service as one: read, set, sent home, in the order of law 5."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import DriftError
from landbridge.laws import twosided
from landbridge.model.journal import Receipt
from landbridge.model.service import Route, ServiceId, Side, Switch, Weight
from landbridge.shift.extras import HeaderRoute
from landbridge.shift.router import Place, Router, RouterKind, kept, version
from landbridge.shift.table import router_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSided:
    """Both routers of one service. All backends are leaves or mirrors of leaves, so no weights make a loop."""

    service: ServiceId
    routers: Mapping[Side, Router]
    kinds: Mapping[Side, RouterKind]

    def route(self) -> Route:
        """The switches in the order in which a raise writes them."""
        order = [write.side for write in twosided.writes(1, leaf=True)]
        switches: list[Switch] = [self.kinds[side].switch(side, self.service) for side in order]
        return Route(
            service=self.service, switches=tuple(switches), granularity=self.routers[Side.SOURCE].limits.granularity
        )

    async def prepare(self) -> tuple[Receipt, ...]:
        """All traffic home, on the target first: its callers are the guests."""
        return (await self.routers[Side.TARGET].prepare(), await self.routers[Side.SOURCE].prepare())

    async def read(self) -> dict[Side, Weight]:
        """Both weights, live."""
        source, target = await asyncio.gather(*(self.routers[side].get_weight() for side in Side))
        return {Side.SOURCE: source, Side.TARGET: target}

    async def expect(self, allowed: Sequence[int]) -> dict[Side, Weight]:
        """Both weights, which must be among those that we may have written; DriftError otherwise."""
        live = await self.read()
        for side, weight in live.items():
            if weight.percent not in allowed:
                expected = Weight(percent=allowed[0], version="")
                await self.routers[side].set_weight(expected, allowed[0])  # refuses, and names the writer
                raise DriftError(f"the weight of {self.service} on the {side} is {weight.percent} %")
        return live

    async def set(self, live: Mapping[Side, Weight], percent: int) -> tuple[Receipt, ...]:
        """Write both, each on condition of the version read; the side that gains load last."""
        raising = percent >= min(weight.percent for weight in live.values())
        return tuple(
            [
                await self.routers[write.side].set_weight(live[write.side], write.percent)
                for write in twosided.writes(percent, leaf=True, raising=raising)
            ]
        )

    async def home(self, live: Mapping[Side, Weight]) -> tuple[Receipt, ...]:
        """Both to 0 at once: with leaf backends no order can make a loop, and each millisecond counts."""
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
        found = await k8s.find(self.kinds[side].kind, self.service.name, self.service.namespace)
        if found is None:
            return None
        ref = self.kinds[side].switch(side, self.service).ref
        return Receipt(side=side, ref=ref, prior=kept(found), version=version(found))

    async def remove(self, standing: Receipt) -> None:
        """Take a switch away whose receipt has been journalled."""
        await self.routers[standing.side].restore(Receipt(side=standing.side, ref=standing.ref, prior=None))

    async def restore(self, receipts: Sequence[Receipt]) -> None:
        """Put both back."""
        for receipt in receipts:
            await self.routers[receipt.side].restore(receipt)

    async def exists(self, side: Side) -> bool:
        """Whether the switch is there."""
        try:
            await self.routers[side].get_weight()
        except NotFoundError:
            return False
        return True


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

    async def of(self, service: ServiceId, *, size: int = 1, wanted: str = "") -> TwoSided:
        """The switches of a service, of the router `wanted` or of what each cluster serves.

        `size` is what home needs before an expiry may send traffic there.
        """
        if service not in self._made:
            kinds = {side: await self._kind(side, wanted) for side in Side}
            routers = {side: kinds[side].make(self._place(side, size), service) for side in Side}
            self._made[service] = TwoSided(service=service, routers=routers, kinds=kinds)
        return self._made[service]

    async def planned(self, service: ServiceId, split: Mapping[str, Any]) -> TwoSided:
        """The same as its split act says it, by the act's arguments."""
        return await self.of(service, size=int(split.get("replicas", 1)), wanted=str(split.get("router", "")))

    async def _kind(self, side: Side, wanted: str) -> RouterKind:
        if (side, wanted) not in self._kinds:
            self._kinds[side, wanted] = await router_of(self._clusters[side], wanted)
        return self._kinds[side, wanted]

    def _place(self, side: Side, size: int) -> Place:
        k8s = self._clusters[side]
        return Place(
            k8s=k8s,
            side=side,
            other=self._clusters[side.other].name,
            token=lambda: self._token(k8s.name),
            on_expiry=self._on_expiry,
            size=size,
        )
