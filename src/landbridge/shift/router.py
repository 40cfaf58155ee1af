"""The port of all routers, and what in-cluster ones share: names of backends, terms of expiry, writers of drift."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from landbridge.clients.answers import ConflictError, NotFoundError
from landbridge.clients.kinds import Kind
from landbridge.clients.kubernetes import MANAGER, Kubernetes
from landbridge.errors import DriftError
from landbridge.model.journal import Receipt
from landbridge.model.mirror import mirror_name
from landbridge.model.service import Limits, Manifest, ObjectRef, ServiceId, Side, Switch, Weight

PREFIX = "landbridge.dev/"
RUN_LEASE = PREFIX + "run-lease"
ON_EXPIRY = PREFIX + "on-expiry"
HOME = PREFIX + "home"
HOME_REPLICAS = PREFIX + "home-replicas"
TOKEN = PREFIX + "token"
MANAGED_BY = "app.kubernetes.io/managed-by"
LEASE_NAME = "landbridge-run"


class Router(Protocol):
    """One switch: it divides the traffic of one service between the two sides."""

    limits: Limits

    async def prepare(self) -> Receipt:
        """Bring all traffic home, creating the switch if there is none; safe to repeat."""
        ...

    async def get_weight(self) -> Weight:
        """The target's percent as the platform itself reports it."""
        ...

    async def set_weight(self, expected: Weight, new: int) -> Receipt:
        """Compare and set; DriftError when somebody else has written the switch."""
        ...

    async def finish(self) -> Receipt:
        """The target is home now: nothing goes back by itself any more."""
        ...

    async def restore(self, receipt: Receipt) -> None:
        """Put back what a receipt says; a switch that did not exist is deleted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One cluster as a router sees it.

    `other` is the other cluster's name, `token` the fencing token of the run, `size` the replicas that home needs
    before an expiry may send traffic there, `lease` whether splits expire with the run at all.
    """

    k8s: Kubernetes
    side: Side
    other: str
    token: Callable[[], str] = lambda: ""
    on_expiry: str = "home"
    size: int = 1
    lease: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterKind:
    """One line of the table: the name in migration.yaml, the limits, the kind of object and how to make one."""

    name: str
    limits: Limits
    kind: Kind
    make: Callable[[Place, ServiceId], Router]

    def switch(self, side: Side, service: ServiceId) -> Switch:
        """The switch that this router drives for a service on a side."""
        ref = ObjectRef(self.kind.api_version, self.kind.kind, service.namespace, service.name)
        return Switch(service=service, side=side, router=self.name, ref=ref)


def backends(place: Place, service: ServiceId) -> tuple[str, str]:
    """The names of the source's and of the target's backend, as this cluster knows them."""
    leaf, mirror = f"{service.name}-leaf", mirror_name(service.name, place.other)
    return (leaf, mirror) if place.side is Side.SOURCE else (mirror, leaf)


def terms_of(place: Place, service: ServiceId, *, home: Side) -> dict[str, str | None]:
    """The terms of a split: whose lease it follows, what its expiry does, where home is, who wrote it last."""
    source, target = backends(place, service)
    living = place.lease and home is Side.SOURCE
    return {
        RUN_LEASE: LEASE_NAME if living else None,
        ON_EXPIRY: place.on_expiry if living else None,
        HOME_REPLICAS: str(place.size) if living else None,
        HOME: source if home is Side.SOURCE else target,
        TOKEN: place.token(),
    }


def labels() -> dict[str, str]:
    """The label of everything that is ours."""
    return {MANAGED_BY: "landbridge"}


def is_ours(manifest: Manifest) -> bool:
    """Whether we made an object."""
    return bool((manifest["metadata"].get("labels") or {}).get(MANAGED_BY) == "landbridge")


def kept(manifest: Manifest) -> dict[str, Any]:
    """What a receipt holds of an object: its spec, labels and annotations."""
    meta = manifest["metadata"]
    return {
        "spec": manifest["spec"],
        "metadata": {key: dict(meta.get(key) or {}) for key in ("labels", "annotations")},
    }


def version(manifest: Manifest) -> str:
    """The resourceVersion."""
    return str(manifest["metadata"]["resourceVersion"])


def writers(manifest: Manifest) -> str:
    """Who else wrote the spec of an object, the latest first, from its managedFields."""
    fields = manifest["metadata"].get("managedFields") or []
    others = [f for f in fields if f.get("manager") != MANAGER and "f:spec" in (f.get("fieldsV1") or {})]
    others.sort(key=lambda f: str(f.get("time") or ""), reverse=True)
    return ", ".join(f"{f.get('manager')} at {f.get('time')}" for f in others)


def drift(what: str, manifest: Manifest, cluster: str) -> DriftError:
    """The error that names an object that somebody else wrote, and the writer."""
    by = writers(manifest)
    return DriftError(
        f"{what}; written by {by or 'an unknown writer'}",
        where=f"{ObjectRef.of(manifest)} in {cluster}",
        advice="find out why, then `landbridge resume` to go on from what is there, or `landbridge rollback`",
    )


class SplitRouter:
    """What TrafficSplit and HTTPRoute have in common: one object, a way to read a percent of it, a way to write one."""

    limits: Limits
    kind: Kind

    def __init__(self, place: Place, service: ServiceId) -> None:
        self.place = place
        self.service = service
        self._last: Manifest | None = None
        """The object as last read or written: lets a way home be one request."""

    def read(self, manifest: Manifest) -> int:
        """The target's percent that an object declares; DriftError when it is none of ours."""
        raise NotImplementedError

    async def spec(self, percent: int, prior: Manifest | None) -> dict[str, Any]:
        """The spec (or the part of it that is changed) that declares a percent."""
        raise NotImplementedError

    async def prepare(self) -> Receipt:
        """All traffic home. A switch of somebody else's is drift."""
        found = await self._find()
        if found is None:
            made = await self.place.k8s.create(await self._manifest(0))
            return self._receipt(None, made)
        self._check_ours(found)
        written = await self._patch(found, await self.spec(0, found), home=Side.SOURCE)
        return self._receipt(found, written)

    async def get_weight(self) -> Weight:
        """The percent that the live object declares, with its resourceVersion; NotFoundError without an object."""
        found = self._last = await self._get()
        return Weight(percent=self.read(found), version=version(found))

    async def set_weight(self, expected: Weight, new: int) -> Receipt:
        """Compare and set in one write; an object touched meanwhile without a change of weight is tried again."""
        last = self._last
        found = last if last is not None and version(last) == expected.version else await self._get()
        for _ in range(5):
            self._check_ours(found)
            if (live := self.read(found)) != expected.percent:
                raise drift(
                    f"the weight is {live} %, not {expected.percent} % as last seen", found, self.place.k8s.name
                )
            try:
                written = await self._patch(found, await self.spec(new, found))
            except ConflictError:
                found = await self._get()
                continue
            return self._receipt(found, written)
        raise drift("the object is written again and again by somebody else", found, self.place.k8s.name)

    async def finish(self) -> Receipt:
        """The target is home; the lease is taken off, so that nothing goes back by itself."""
        found = await self._get()
        self._check_ours(found)
        return self._receipt(found, await self._patch(found, {}, home=Side.TARGET))

    async def restore(self, receipt: Receipt) -> None:
        """Put back the spec and the terms that the receipt holds."""
        k8s, name, namespace = self.place.k8s, self.service.name, self.service.namespace
        found = await self._find()
        if receipt.prior is None:
            if found is not None and is_ours(found):
                await k8s.delete(self.kind, name, namespace, version=version(found))
            return
        prior = dict(receipt.prior)
        if found is None:
            meta = {**prior["metadata"], "name": name, "namespace": namespace}
            head = {"apiVersion": self.kind.api_version, "kind": self.kind.kind}
            await k8s.create({**head, "metadata": meta, "spec": prior["spec"]})
            return
        terms = {
            key: prior["metadata"]["annotations"].get(key) for key in annotations_of(found) | annotations_of(prior)
        }
        terms[TOKEN] = self.place.token()
        patch = {"spec": prior["spec"], "metadata": {"annotations": terms}}
        await k8s.patch(self.kind, name, patch, namespace, version=version(found))

    async def _get(self) -> Manifest:
        return await self.place.k8s.get(self.kind, self.service.name, self.service.namespace)

    async def _find(self) -> Manifest | None:
        return await self.place.k8s.find(self.kind, self.service.name, self.service.namespace)

    async def _manifest(self, percent: int) -> Manifest:
        terms = terms_of(self.place, self.service, home=Side.SOURCE)
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "metadata": {
                "name": self.service.name,
                "namespace": self.service.namespace,
                "labels": labels(),
                "annotations": {key: value for key, value in terms.items() if value is not None},
            },
            "spec": await self.spec(percent, None),
        }

    async def _patch(self, found: Manifest, spec: Mapping[str, Any], *, home: Side | None = None) -> Manifest:
        terms = {TOKEN: self.place.token()} if home is None else terms_of(self.place, self.service, home=home)
        patch: dict[str, Any] = {"metadata": {"annotations": terms}}
        if spec:
            patch["spec"] = dict(spec)
        self._last = await self.place.k8s.patch(
            self.kind, self.service.name, patch, self.service.namespace, version=version(found)
        )
        return self._last

    def _check_ours(self, found: Manifest) -> None:
        if not is_ours(found):
            raise drift(f"this {self.kind.kind} is not landbridge's", found, self.place.k8s.name)

    def _receipt(self, prior: Manifest | None, written: Manifest) -> Receipt:
        return Receipt(
            side=self.place.side,
            ref=ObjectRef.of(written),
            prior=None if prior is None else kept(prior),
            version=version(written),
        )


def annotations_of(manifest: Mapping[str, Any]) -> set[str]:
    """The keys of an object's annotations that are ours."""
    return {key for key in manifest["metadata"].get("annotations") or {} if key.startswith(PREFIX)}


__all__ = ["NotFoundError", "Place", "Router", "RouterKind", "SplitRouter", "backends"]
