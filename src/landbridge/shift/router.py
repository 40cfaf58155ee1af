"""The port of all routers, and what in-cluster ones share: names of backends, terms of expiry, writers of drift."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from landbridge.clients.answers import ConflictError, NotFoundError
from landbridge.clients.kinds import Kind
from landbridge.clients.kubernetes import MANAGER, Kubernetes
from landbridge.clock import DeadlineError, wait_for
from landbridge.errors import DriftError, LandbridgeError
from landbridge.model.journal import Receipt
from landbridge.model.mirror import mirror_name
from landbridge.model.service import BUILTIN, Limits, Manifest, Mesh, ObjectRef, ServiceId, Side, Switch, Weight
from landbridge.shift.extras import NOTHING_MORE, Terms, header_terms, shadow_terms

PREFIX = "landbridge.dev/"
RUN_LEASE = PREFIX + "run-lease"
ON_EXPIRY = PREFIX + "on-expiry"
HOME = PREFIX + "home"
HOME_REPLICAS = PREFIX + "home-replicas"
TOKEN = PREFIX + "token"
MANAGED_BY = "app.kubernetes.io/managed-by"
LEASE_NAME = "landbridge-run"
CONFIRM = 30.0
"""Seconds within which a data plane that says whether it obeys has to say yes."""


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

    async def confirm(self) -> None:
        """Wait until the platform itself says that it obeys the switch, where it can; LandbridgeError when not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One cluster as a router sees it.

    `other` is the other cluster's name, `token` the fencing token of the run, `size` the replicas that home needs
    before an expiry may send traffic there, `lease` whether splits expire with the run at all. `mesh` is whose
    backends these are, `domain` the cluster's own.
    """

    k8s: Kubernetes
    side: Side
    other: str
    token: Callable[[], str] = lambda: ""
    on_expiry: str = "home"
    size: int = 1
    lease: bool = True
    mesh: Mesh = BUILTIN
    domain: str = "cluster.local"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterKind:
    """One line of the table: the name in migration.yaml, the limits, the kind of object and how to make one.

    `called` is how the object of a Service is called.
    """

    name: str
    limits: Limits
    kind: Kind
    make: Callable[[Place, ServiceId], Router]
    called: str = "{name}"

    def switch(self, side: Side, service: ServiceId, domain: str = "cluster.local") -> Switch:
        """The switch that this router drives for a service on a side."""
        name = object_name(self.called, service, domain)
        ref = ObjectRef(self.kind.api_version, self.kind.kind, service.namespace, name)
        return Switch(service=service, side=side, router=self.name, ref=ref)


def object_name(called: str, service: ServiceId, domain: str) -> str:
    """The name of a Service's switch."""
    return called.format(name=service.name, namespace=service.namespace, domain=domain)


def backends(place: Place, service: ServiceId) -> tuple[str, str]:
    """The names of the source's and of the target's backend, as this cluster knows them."""
    local, mirror = f"{service.name}{place.mesh.local}", mirror_name(service.name, place.other)
    return (local, mirror) if place.side is Side.SOURCE else (mirror, local)


def weights(place: Place, service: ServiceId, percent: int) -> dict[str, int]:
    """Both backends, the source's first, with what the target's percent gives each."""
    return dict(zip(backends(place, service), (100 - percent, percent), strict=True))


def share(found: Mapping[str, int], place: Place, service: ServiceId, manifest: Manifest) -> int:
    """The target's percent of weights read from an object; DriftError when they are not of these two backends."""
    source, target = backends(place, service)
    total = sum(found.values())
    if set(found) - {source, target} or total <= 0 or 100 * found.get(target, 0) % total:
        raise drift(f"the backends are {dict(found)}, not {source} and {target}", manifest, place.k8s.name)
    return 100 * found.get(target, 0) // total


def terms_of(place: Place, service: ServiceId, *, home: Side) -> dict[str, str | None]:
    """The terms of a split: whose lease it follows, what its expiry does, where home is, who wrote it last."""
    source, target = backends(place, service)
    living = place.lease and place.mesh.leased and home is Side.SOURCE
    return {
        **NOTHING_MORE,
        **header_terms(source, target, on=living),
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
    called = "{name}"

    def __init__(self, place: Place, service: ServiceId) -> None:
        self.place = place
        self.service = service
        self.name = object_name(self.called, service, place.domain)
        self._last: Manifest | None = None
        """The object as last read or written: lets a way home be one request."""
        self._known: set[str] = set()
        """Fencing tokens that may stand on the object: those that were read when it was last looked at."""

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
        self._known = {_token(found)}
        return Weight(percent=self.read(found), version=version(found))

    async def set_weight(self, expected: Weight, new: int) -> Receipt:
        """Compare and set in one write; an object touched meanwhile without a change of weight is tried again.

        Not so when another run has touched it: the weight may be the same, but what was concluded from it is not.
        """
        last = self._last
        found = last if last is not None and version(last) == expected.version else await self._get()
        terms = NOTHING_MORE if new == 0 else shadow_terms("", 0)

        async def write(at: Manifest) -> Manifest:
            if (live := self.read(at)) != expected.percent:
                raise drift(f"the weight is {live} %, not {expected.percent} % as last seen", at, self.place.k8s.name)
            return await self._patch(at, await self.spec(new, at), terms=terms)

        return await self._write(found, write)

    async def set_header(self, on: bool) -> Receipt:
        """Declared by an annotation, which the waypoints obey while the run lives."""
        return await self._declare(header_terms(*backends(self.place, self.service), on=on))

    async def set_shadow(self, percent: int) -> Receipt:
        """Declared by an annotation, which the waypoints obey while the run lives; DriftError at another weight."""
        terms = shadow_terms(backends(self.place, self.service)[1], percent)
        return await self._declare(terms, at_zero=percent > 0)

    async def _declare(self, terms: Terms, *, at_zero: bool = False) -> Receipt:
        async def write(at: Manifest) -> Manifest:
            if at_zero and (live := self.read(at)):
                raise drift(f"the weight is {live} %, and a shadow is for 0 %", at, self.place.k8s.name)
            return await self._patch(at, {}, terms=terms)

        return await self._write(await self._get(), write)

    async def _write(self, found: Manifest, write: Callable[[Manifest], Awaitable[Manifest]]) -> Receipt:
        for _ in range(5):
            self._check_ours(found)
            if self._known and _token(found) not in self._known and _token(found) != self.place.token():
                raise drift("another run of landbridge has written it", found, self.place.k8s.name)
            try:
                return self._receipt(found, await write(found))
            except ConflictError:
                found = await self._get()
        raise drift("the object is written again and again by somebody else", found, self.place.k8s.name)

    async def finish(self) -> Receipt:
        """The target is home; the lease is taken off, so that nothing goes back by itself."""
        found = await self._get()
        self._check_ours(found)
        return self._receipt(found, await self._patch(found, {}, home=Side.TARGET))

    async def restore(self, receipt: Receipt) -> None:
        """Put back the spec and the terms that the receipt holds."""
        k8s, name, namespace = self.place.k8s, self.name, self.service.namespace
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
        patch = {"spec": self.put_back(prior["spec"]), "metadata": {"annotations": terms}}
        await k8s.patch(self.kind, name, patch, namespace, version=version(found))

    def put_back(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a prior spec that is ours to put back."""
        return dict(spec)

    async def obeyed(self) -> str:
        """Why the data plane does not obey the object yet, by its own word; empty when it does or says nothing."""
        return ""

    async def confirm(self) -> None:
        """Wait until it is obeyed: what is next would be wrong before."""
        if not self.place.mesh.confirms:
            return
        told: list[str] = []

        async def is_obeyed() -> bool:
            told[:] = [why] if (why := await self.obeyed()) else []
            return not told

        try:
            await wait_for(is_obeyed, what=self.name, within=CONFIRM, clock=self.place.k8s.clock, every=0.5)
        except DeadlineError as error:
            raise LandbridgeError(
                f"{self.kind.kind} {self.service.namespace}/{self.name} is written but not obeyed: {''.join(told)}",
                where=self.place.k8s.name,
                advice=f"look at the controllers of {self.place.mesh.name} there; what comes next was not done",
            ) from error

    async def _get(self) -> Manifest:
        return await self.place.k8s.get(self.kind, self.name, self.service.namespace)

    async def _find(self) -> Manifest | None:
        return await self.place.k8s.find(self.kind, self.name, self.service.namespace)

    async def _manifest(self, percent: int) -> Manifest:
        terms = terms_of(self.place, self.service, home=Side.SOURCE)
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "metadata": {
                "name": self.name,
                "namespace": self.service.namespace,
                "labels": labels(),
                "annotations": {key: value for key, value in terms.items() if value is not None},
            },
            "spec": await self.spec(percent, None),
        }

    async def _patch(
        self,
        found: Manifest,
        spec: Mapping[str, Any],
        *,
        home: Side | None = None,
        terms: Terms | None = None,
    ) -> Manifest:
        stated = {TOKEN: self.place.token()} if home is None else terms_of(self.place, self.service, home=home)
        patch: dict[str, Any] = {"metadata": {"annotations": {**stated, **(terms or {})}}}
        if spec:
            patch["spec"] = dict(spec)
        self._last = await self.place.k8s.patch(
            self.kind, self.name, patch, self.service.namespace, version=version(found)
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


def _token(manifest: Manifest) -> str:
    return str((manifest["metadata"].get("annotations") or {}).get(TOKEN) or "")


def annotations_of(manifest: Mapping[str, Any]) -> set[str]:
    """The keys of an object's annotations that are ours."""
    return {key for key in manifest["metadata"].get("annotations") or {} if key.startswith(PREFIX)}


__all__ = ["NotFoundError", "Place", "Router", "RouterKind", "SplitRouter", "backends"]
