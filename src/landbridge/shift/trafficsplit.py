"""SMI TrafficSplit v1alpha2: whole weights that sum to 100, short names, zeros kept.

https://github.com/servicemeshinterface/smi-spec/blob/main/apis/traffic-split/v1alpha2/traffic-split.md
"""

from __future__ import annotations

from typing import Any

from landbridge.clients.kinds import SERVICEPROFILE, TRAFFICSPLIT
from landbridge.linkerd.mechanism import profile_name
from landbridge.linkerd.obeyed import profile
from landbridge.model.service import Limits, Manifest
from landbridge.shift.router import RouterKind, SplitRouter, share, weights
from landbridge.translate import splits


class TrafficSplitRouter(SplitRouter):
    """One TrafficSplit in one cluster."""

    limits = Limits(chains=True, header_route=True)
    kind = TRAFFICSPLIT

    def read(self, manifest: Manifest) -> int:
        """The target's share of the weights."""
        found = {b["service"]: int(b.get("weight") or 0) for b in manifest["spec"].get("backends") or ()}
        return share(found, self.place, self.service, manifest)

    async def spec(self, percent: int, prior: Manifest | None) -> dict[str, Any]:
        """Both backends, always: a zero shows what is meant."""
        declared = weights(self.place, self.service, percent)
        return {"backends": splits.backends(declared)} if prior else splits.trafficsplit(self.service, declared)

    async def obeyed(self) -> str:
        """Linkerd's adaptor writes a ServiceProfile, which is what routes: it is compared, not the split believed."""
        percent = self.read(await self._get())
        name, namespace = profile_name(self.service, self.place.domain), self.service.namespace
        declared = weights(self.place, self.service, percent)
        found = await self.place.k8s.find(SERVICEPROFILE, name, namespace)
        return profile(found, splits.overrides(namespace, self.place.domain, declared), name)


TRAFFICSPLIT_ROUTER = RouterKind(
    name="trafficsplit", limits=TrafficSplitRouter.limits, kind=TRAFFICSPLIT, make=TrafficSplitRouter
)
