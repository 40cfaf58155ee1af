"""SMI TrafficSplit v1alpha2: whole weights that sum to 100, short names, zeros kept.

https://github.com/servicemeshinterface/smi-spec/blob/main/apis/traffic-split/v1alpha2/traffic-split.md
"""

from __future__ import annotations

from typing import Any

from landbridge.clients.kinds import TRAFFICSPLIT
from landbridge.model.service import Limits, Manifest
from landbridge.shift.router import RouterKind, SplitRouter, backends, drift


class TrafficSplitRouter(SplitRouter):
    """One TrafficSplit in one cluster."""

    limits = Limits(header_route=True)
    kind = TRAFFICSPLIT

    def read(self, manifest: Manifest) -> int:
        """The target's share of the weights."""
        source, target = backends(self.place, self.service)
        weights = {b["service"]: int(b.get("weight") or 0) for b in manifest["spec"].get("backends") or ()}
        total = sum(weights.values())
        if set(weights) - {source, target} or total <= 0 or 100 * weights.get(target, 0) % total:
            raise drift(f"the backends are {weights}, not {source} and {target}", manifest, self.place.k8s.name)
        return 100 * weights.get(target, 0) // total

    async def spec(self, percent: int, prior: Manifest | None) -> dict[str, Any]:
        """Both backends, always: a zero shows what is meant."""
        source, target = backends(self.place, self.service)
        weights = [{"service": source, "weight": 100 - percent}, {"service": target, "weight": percent}]
        return {"backends": weights} if prior else {"service": self.service.name, "backends": weights}


TRAFFICSPLIT_ROUTER = RouterKind(
    name="trafficsplit", limits=TrafficSplitRouter.limits, kind=TRAFFICSPLIT, make=TrafficSplitRouter
)
