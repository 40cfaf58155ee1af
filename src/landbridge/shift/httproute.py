"""HTTPRoute with a Service as parent: Gateway API's (GAMMA) in both versions, and Linkerd's own.

A backend without weight is left out, for meshes differ about zeros. https://gateway-api.sigs.k8s.io/mesh/
"""

from __future__ import annotations

from typing import Any

from landbridge.clients.kinds import HTTPROUTE, HTTPROUTE_V1BETA1, LINKERD_HTTPROUTE, SERVICE, Kind
from landbridge.linkerd.obeyed import route
from landbridge.model.service import Limits, Manifest
from landbridge.shift.router import RouterKind, SplitRouter, drift, share, weights
from landbridge.translate import splits


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
        found = {ref["name"]: int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or ()}
        return share(found, self.place, self.service, manifest)

    async def spec(self, percent: int, prior: Manifest | None) -> dict[str, Any]:
        """Rules for the ports that the Service has now, or for those that the route had."""
        ports, declared = await self._ports(prior), weights(self.place, self.service, percent)
        return {"rules": splits.rules(ports, declared)} if prior else splits.httproute(self.service, ports, declared)

    async def _ports(self, prior: Manifest | None) -> list[int]:
        if prior:
            return [int(rule["backendRefs"][0]["port"]) for rule in prior["spec"]["rules"]]
        service = await self.place.k8s.get(SERVICE, self.service.name, self.service.namespace)
        return [int(port["port"]) for port in service["spec"]["ports"] if port.get("protocol", "TCP") == "TCP"]

    async def obeyed(self) -> str:
        """Linkerd's own conditions: a backend that it does not know is a share of answers 500."""
        return route(await self._get())


class OlderHttpRouteRouter(HttpRouteRouter):
    """The version that Linkerd 2.14 to 2.17 read."""

    limits = Limits()
    kind = HTTPROUTE_V1BETA1


class LinkerdHttpRouteRouter(HttpRouteRouter):
    """Linkerd's own kind, for clusters without Gateway API."""

    limits = Limits()
    kind = LINKERD_HTTPROUTE


def _kind(name: str, kind: Kind, make: type[HttpRouteRouter]) -> RouterKind:
    return RouterKind(name=name, limits=make.limits, kind=kind, make=make)


HTTPROUTE_ROUTER = _kind("httproute", HTTPROUTE, HttpRouteRouter)
OLDER_HTTPROUTE_ROUTER = _kind("httproute-v1beta1", HTTPROUTE_V1BETA1, OlderHttpRouteRouter)
LINKERD_HTTPROUTE_ROUTER = _kind("httproute-linkerd", LINKERD_HTTPROUTE, LinkerdHttpRouteRouter)
