"""The overrides of a Linkerd ServiceProfile: what the SMI adaptor writes, without the adaptor.

Used where a profile with routes beats every HTTPRoute, and for TCP where there is no adaptor. A profile that is
somebody else's keeps all its other fields; only an override that is not ours is drift.
https://linkerd.io/2/reference/service-profiles/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landbridge.clients.kinds import SERVICEPROFILE
from landbridge.linkerd.mechanism import DRIVEN
from landbridge.model.journal import Receipt
from landbridge.model.manifest import annotations_of
from landbridge.model.service import Limits, Manifest, Side
from landbridge.shift.router import RouterKind, SplitRouter, drift, is_ours, share, weights
from landbridge.shift.router import annotations_of as ours_among
from landbridge.translate import splits

CALLED = "{name}.{namespace}.svc.{domain}"


class ServiceProfileRouter(SplitRouter):
    """One ServiceProfile in one cluster."""

    limits = Limits(chains=True)
    kind = SERVICEPROFILE
    called = CALLED

    def read(self, manifest: Manifest) -> int:
        """The target's share of the overrides; a profile without any leaves all traffic to the apex' own pods."""
        try:
            found = {self._backend(str(entry["authority"])): int(entry["weight"]) for entry in _overrides(manifest)}
        except ValueError:
            raise drift("the overrides have weights that are no whole numbers", manifest, self.place.k8s.name) from None
        if not found:
            return 0 if self.place.side is Side.SOURCE else 100
        return share(found, self.place, self.service, manifest)

    def _backend(self, authority: str) -> str:
        return authority.removesuffix(f".{self.service.namespace}.svc.{self.place.domain}")

    async def spec(self, percent: int, prior: Manifest | None) -> dict[str, Any]:
        """Only the overrides, which a merge patch replaces whole, whatever else there was."""
        del prior
        declared = weights(self.place, self.service, percent)
        return {"dstOverrides": splits.overrides(self.service.namespace, self.place.domain, declared)}

    async def prepare(self) -> Receipt:
        """All traffic home; a profile of somebody else's that overrides nothing is driven from now on."""
        found = await self._find()
        if found is None or is_ours(found) or _is_driven(found) or _overrides(found):
            return await super().prepare()
        marked = {DRIVEN: "dstOverrides"}
        written = await self._patch(found, await self.spec(0, found), home=Side.SOURCE, terms=marked)
        return self._receipt(found, written)

    async def restore(self, receipt: Receipt) -> None:
        """Put the overrides back; of a profile of somebody else's nothing else is touched, nor is it made again."""
        found = await self._find()
        if found is None and receipt.prior is not None and not is_ours(dict(receipt.prior)):
            return
        if found is not None and receipt.prior is None and _is_driven(found):
            marks = dict.fromkeys(ours_among(found))
            nothing = {"spec": {"dstOverrides": None}, "metadata": {"annotations": marks}}
            version = found["metadata"]["resourceVersion"]
            await self.place.k8s.patch(self.kind, self.name, nothing, self.service.namespace, version=version)
            return
        await super().restore(receipt)

    def put_back(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The overrides that were there, if any: the rest is its owner's, who may have changed it meanwhile."""
        return {"dstOverrides": spec.get("dstOverrides")}

    def _check_ours(self, found: Manifest) -> None:
        if not is_ours(found) and not _is_driven(found):
            raise drift("the overrides of this ServiceProfile are not landbridge's", found, self.place.k8s.name)


def _overrides(manifest: Manifest) -> list[dict[str, Any]]:
    return list((manifest.get("spec") or {}).get("dstOverrides") or ())


def _is_driven(manifest: Manifest) -> bool:
    return DRIVEN in annotations_of(manifest)


SERVICEPROFILE_ROUTER = RouterKind(
    name="serviceprofile",
    limits=ServiceProfileRouter.limits,
    kind=SERVICEPROFILE,
    make=ServiceProfileRouter,
    called=CALLED,
)
