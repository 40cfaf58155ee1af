"""Gateway API HTTPRoute with a Service as parent (GAMMA): zero weights are dropped, for meshes differ about them.

https://gateway-api.sigs.k8s.io/mesh/
"""

from __future__ import annotations

from typing import Any

from landbridge.clients.kinds import HTTPROUTE, SERVICE
from landbridge.model.service import Limits, Manifest
from landbridge.shift.router import RouterKind, SplitRouter, backends, drift


class HttpRouteRouter(SplitRouter):
    """One HTTPRoute in one cluster, with one rule for each port of the Service."""

    limits = Limits(header_route=True)
    kind = HTTPROUTE

    def read(self, manifest: Manifest) -> int:
        """The target's share, the same in every rule."""
        shares = {self._share(rule, manifest) for rule in manifest["spec"].get("rules") or ()}
        if len(shares) != 1:
            raise drift(f"the rules declare different weights: {sorted(shares)}", manifest, self.place.k8s.name)
        return shares.pop()

    def _share(self, rule: dict[str, Any], manifest: Manifest) -> int:
        source, target = backends(self.place, self.service)
        weights = {ref["name"]: int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or ()}
        total = sum(weights.values())
        if set(weights) - {source, target} or total <= 0 or 100 * weights.get(target, 0) % total:
            raise drift(f"the backends are {weights}, not {source} and {target}", manifest, self.place.k8s.name)
        return 100 * weights.get(target, 0) // total

    async def spec(self, percent: int, prior: Manifest | None) -> dict[str, Any]:
        """Rules for the ports that the Service has now, or for those that the route had."""
        parent = {"group": "", "kind": "Service", "name": self.service.name}
        rules = [{"backendRefs": self._refs(port, percent)} for port in await self._ports(prior)]
        return {"rules": rules} if prior else {"parentRefs": [parent], "rules": rules}

    async def _ports(self, prior: Manifest | None) -> list[int]:
        if prior:
            return [int(rule["backendRefs"][0]["port"]) for rule in prior["spec"]["rules"]]
        service = await self.place.k8s.get(SERVICE, self.service.name, self.service.namespace)
        return [int(port["port"]) for port in service["spec"]["ports"] if port.get("protocol", "TCP") == "TCP"]

    def _refs(self, port: int, percent: int) -> list[dict[str, Any]]:
        weights = zip(backends(self.place, self.service), (100 - percent, percent), strict=True)
        return [{"kind": "Service", "name": name, "port": port, "weight": w} for name, w in weights if w]


HTTPROUTE_ROUTER = RouterKind(name="httproute", limits=HttpRouteRouter.limits, kind=HTTPROUTE, make=HttpRouteRouter)
