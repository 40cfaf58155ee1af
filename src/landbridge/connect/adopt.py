"""Puts a waypoint into a Service's path and takes it out, in the order that loses no request; safe to repeat.

Adoption never edits ports and never swaps the selector, since owners re-apply both: our own EndpointSlice stands in
for the endpoints, and the selector is null meanwhile. What was there is remembered in the leaf, so that an adoption
that died in the middle goes on, and un-adoption restores it exactly. docs/connection.md#adoption has the order.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from landbridge.clients.kinds import ENDPOINTS, ENDPOINTSLICE, NAMESPACE, POD, SERVICE, STATEFULSET, TRAFFICSPLIT, Kind
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, DeadlineError, wait_for
from landbridge.connect import names
from landbridge.connect.slices import addresses, foreign, of_agents, ports_of
from landbridge.errors import BlockedError, DriftError, LandbridgeError
from landbridge.model.journal import Receipt
from landbridge.model.mirror import mirror_name
from landbridge.model.service import Manifest, ObjectRef, ServiceId, Side
from landbridge.translate.adoption import (
    EXPORT_MADE,
    EXPORTED,
    MIRRORED,
    PROTOCOLS,
    SKIP_MIRROR,
    STATE,
    adopted_pair,
    leaf,
    leaf_name,
    not_adoptable,
)

PRIOR = "landbridge.dev/prior"  # on the leaf: the merge patch that puts the apex back
AGENT_PATIENCE = 60.0  # seconds for an agent to configure and dial every waypoint pod
PROXY_SYNCS = 2.5  # seconds: two of kube-proxy's syncs (minSyncPeriod 1 s) and a little
TRIES = 10
SERVICE_NAME = "kubernetes.io/service-name"
NEIGHBOURS = (
    STATEFULSET,
    Kind("networking.k8s.io/v1", "Ingress", "ingresses"),
    Kind("elbv2.k8s.aws/v1beta1", "TargetGroupBinding", "targetgroupbindings"),
    Kind("flagger.app/v1beta1", "Canary", "canaries"),
    Kind("argoproj.io/v1alpha1", "Rollout", "rollouts"),
)
"""Kinds of a Service's namespace that may dial its pods or switch it; looked at where they are served."""


async def adopt(
    k8s: Kubernetes,
    service: ServiceId,
    *,
    other: str,
    clock: Clock,
    side: Side = Side.SOURCE,
    protocols: Mapping[str, str] | None = None,
    pods: str = "",
    enforce: bool = False,
) -> tuple[Receipt, ...]:
    """Adopt a Service; the receipts say what the apex was.

    `other` is the other cluster's name, `protocols` what people have stated of ports by number or name, `pods` what
    policies have to know of its pods when none runs (`translate.callers.written`); `enforce`: only behind waypoints
    that keep policies. Raises BlockedError naming the rule that forbids it, DriftError when somebody else keeps
    endpoints for the Service, LandbridgeError when no waypoint takes it on in time.
    """
    apex = await k8s.get(SERVICE, service.name, service.namespace)
    held = await _own_leaf(k8s, service)
    if enforce:
        await _check_policies(k8s, service.namespace)
    if held is None:
        await _check(k8s, apex, other)
        held = await k8s.create(_new_leaf(apex, protocols or {}, pods))
    await _until(
        lambda: _leaf_follows(k8s, service), f"endpoints of {leaf_name(service.name)}", AGENT_PATIENCE, k8s, clock
    )
    await _until(lambda: _waypoints_listed(k8s, service), f"waypoints to take on {service}", AGENT_PATIENCE, k8s, clock)
    await k8s.patch(SERVICE, service.name, _exported(apex, held), service.namespace)
    await _until(lambda: _endpoints_labelled(k8s, service), f"skip-mirror on Endpoints {service}", 30, k8s, clock)
    await k8s.patch(SERVICE, service.name, {"spec": {"selector": None}}, service.namespace)
    await _sweep(k8s, service, clock)
    await _mark(k8s, service, "adopted")
    return _receipts(apex, held, side)


async def create_adopted(
    k8s: Kubernetes,
    manifest: Manifest,
    *,
    other: str,
    clock: Clock,
    side: Side = Side.TARGET,
    protocols: Mapping[str, str] | None = None,
    pods: str = "",
    enforce: bool = False,
) -> tuple[Receipt, ...]:
    """Bring a Service into a cluster that has none of its pods yet, adopted from its first moment.

    `manifest` is the Service as it is to be, with its selector. One that exists is adopted instead. Until its split
    says otherwise its callers go where there are endpoints.
    """
    service = ServiceId(manifest["metadata"]["namespace"], manifest["metadata"]["name"])
    live = await k8s.find(SERVICE, service.name, service.namespace)
    if live and live["spec"].get("selector"):
        return await adopt(
            k8s, service, other=other, clock=clock, side=side, protocols=protocols, pods=pods, enforce=enforce
        )
    if enforce:
        await _check_policies(k8s, service.namespace)
    apex, born = adopted_pair(manifest, protocols, pods)
    if live is None:
        await _check(k8s, manifest, other)
        if await _own_leaf(k8s, service) is None:
            await k8s.create(born)
        live = await k8s.create(apex)
    elif await _own_leaf(k8s, service) is None:
        raise BlockedError(
            f"Service {service} exists in {k8s.name} without a selector and without our leaf", where=k8s.name
        )
    await _until(lambda: _waypoints_listed(k8s, service), f"waypoints to take on {service}", AGENT_PATIENCE, k8s, clock)
    return tuple(
        Receipt(side=side, ref=ObjectRef.of(item), prior=None, version=_version(item)) for item in (live, born)
    )


async def unadopt(
    k8s: Kubernetes,
    service: ServiceId,
    receipts: Sequence[Receipt],
    *,
    clock: Clock,
    side: Side = Side.SOURCE,
    keep_export: bool = False,
) -> tuple[Receipt, ...]:
    """Take the waypoint out; connections that it holds go on until they end or the agent's deadline.

    `keep_export`: the other cluster still sends traffic here, so the Service stays exported. The receipts say what
    was undone. A Service that was never adopted is left alone.
    """
    held = await _own_leaf(k8s, service)
    if held is None:
        return ()
    if await _split(k8s, service):
        raise BlockedError(
            f"TrafficSplit {service} still divides the traffic of {service}",
            where=k8s.name,
            advice="take all traffic home and remove the split first",
        )
    apex = await k8s.get(SERVICE, service.name, service.namespace)
    await _mark(k8s, service, "releasing")
    prior = _prior(held, receipts)
    await k8s.patch(SERVICE, service.name, {"spec": prior["spec"]}, service.namespace)
    await _until(lambda: _originals_back(k8s, service), f"original endpoints of {service}", 60, k8s, clock)
    await _release(k8s, service, clock)
    await clock.sleep(PROXY_SYNCS)
    await k8s.patch(SERVICE, service.name, {"metadata": _marks(prior, keep_export=keep_export)}, service.namespace)
    await k8s.delete(SERVICE, leaf_name(service.name), service.namespace)
    return (
        Receipt(side=side, ref=ObjectRef.of(apex), prior=_prior_of(apex), version=_version(apex)),
        Receipt(side=side, ref=ObjectRef.of(held), prior=held, version=_version(held)),
    )


async def is_adopted(k8s: Kubernetes, service: ServiceId) -> bool:
    """Whether a Service stands adopted: its leaf says so and its selector is null."""
    held = await _own_leaf(k8s, service)
    if held is None or _annotations(held).get(STATE) != "adopted":
        return False
    apex = await k8s.find(SERVICE, service.name, service.namespace)
    return apex is not None and not apex["spec"].get("selector")


async def _check(k8s: Kubernetes, apex: Manifest, other: str) -> None:
    space = apex["metadata"]["namespace"]
    namespace = await k8s.get(NAMESPACE, space)
    served = await k8s.kinds()
    known = [found[0] for kind in NEIGHBOURS if (found := served.get((kind.group, kind.kind)))]
    asked = [k8s.together.list(kind, space) for kind in known if "list" in kind.verbs]
    neighbours = [item for items in await asyncio.gather(*asked) for item in items]
    refusal = not_adoptable(apex, namespace=namespace, neighbours=neighbours)
    if refusal:
        raise BlockedError(refusal.message, where=f"{k8s.name}, rule {refusal.rule}", advice=refusal.advice)
    taken = await k8s.find(SERVICE, mirror_name(apex["metadata"]["name"], other), space)
    if taken and (taken["metadata"].get("labels") or {}).get(MIRRORED) != "true":
        raise BlockedError(
            f"the Service {space}/{taken['metadata']['name']} has the name of its mirror and is not landbridge's",
            where=k8s.name,
            advice="rename it: the other cluster's copy is called by that name here",
        )
    pods = await _waypoints(k8s, space)
    if not pods:
        raise BlockedError(
            f"no waypoint is ready in the namespace {space}", where=k8s.name, advice="run `landbridge connect` first"
        )


async def _check_policies(k8s: Kubernetes, namespace: str) -> None:
    """Every waypoint pod was told to keep policies: an older one would let everybody in to everything."""
    for pod in await k8s.list(POD, namespace, labels=f"{names.ROLE}=waypoint"):
        told = [word for container in pod["spec"]["containers"] for word in container.get("command") or ()]
        if not pod["metadata"].get("deletionTimestamp") and not {"--policies", "enforce"} <= set(told):
            raise BlockedError(
                f"waypoint {namespace}/{pod['metadata']['name']} does not keep NetworkPolicies as the plan expects",
                where=k8s.name,
                advice="run `landbridge connect` again: migration.yaml says `policies: enforce`",
            )


async def _own_leaf(k8s: Kubernetes, service: ServiceId) -> Manifest | None:
    found = await k8s.find(SERVICE, leaf_name(service.name), service.namespace)
    if found and not names.is_ours(found):
        raise BlockedError(
            f"the Service {service.namespace}/{leaf_name(service.name)} exists and is not landbridge's",
            where=k8s.name,
            advice="rename it: that name is needed for the leaf",
        )
    return found


def _new_leaf(apex: Manifest, protocols: Mapping[str, str], pods: str) -> Manifest:
    """What was stated when it was adopted before holds on: the other cluster may still call it by that."""
    made = leaf(apex, state="adopting", protocols=protocols, pods=pods)
    if not protocols and (before := _annotations(apex).get(PROTOCOLS)):
        made["metadata"]["annotations"][PROTOCOLS] = before
    made["metadata"]["annotations"][PRIOR] = json.dumps(_prior_of(apex), sort_keys=True)
    return made


def _prior_of(apex: Manifest) -> dict[str, Any]:
    """The merge patch that puts an apex back to what it is now; an export of our own is none of its owner's."""
    labels = dict(apex["metadata"].get("labels") or {})
    if EXPORT_MADE in _annotations(apex):
        labels.pop(EXPORTED, None)
    return {
        "spec": {"selector": apex["spec"].get("selector")},
        "metadata": {"labels": {key: labels.get(key) for key in (SKIP_MIRROR, EXPORTED)}},
    }


def _prior(held: Manifest, receipts: Sequence[Receipt]) -> dict[str, Any]:
    """What to restore: the leaf's selector, which follows the owner's changes, and the labels as they were.

    A leaf that was made together with its apex (on the target) remembers nothing: the leaf's selector is all.
    """
    told: dict[str, Any] = json.loads(_annotations(held).get(PRIOR) or "{}")
    for receipt in receipts:
        if receipt.prior and "spec" in receipt.prior and receipt.ref.name != held["metadata"]["name"]:
            told = told or dict(receipt.prior)
    labels = (told.get("metadata") or {}).get("labels") or {SKIP_MIRROR: None, EXPORTED: None}
    return {"spec": {"selector": held["spec"]["selector"]}, "metadata": {"labels": labels}}


def _receipts(apex: Manifest, held: Manifest, side: Side) -> tuple[Receipt, ...]:
    told = json.loads(_annotations(held).get(PRIOR) or "{}") or _prior_of(apex)
    return (
        Receipt(side=side, ref=ObjectRef.of(apex), prior=told, version=_version(apex)),
        Receipt(side=side, ref=ObjectRef.of(held), prior=None, version=_version(held)),
    )


async def _leaf_follows(k8s: Kubernetes, service: ServiceId) -> bool:
    """The leaf has everyone whom the apex's own selector found."""
    originals = addresses(foreign(await _slices(k8s, service.namespace, service.name)))
    return originals <= addresses(await _slices(k8s, service.namespace, leaf_name(service.name)))


async def _waypoints_listed(k8s: Kubernetes, service: ServiceId) -> bool:
    """Our slice has every ready waypoint pod on every port of the Service."""
    found = of_agents(await _slices(k8s, service.namespace, service.name))
    ready = await _waypoints(k8s, service.namespace)
    if not ready or not ready <= addresses(found):
        return False
    apex = await k8s.get(SERVICE, service.name, service.namespace)
    wanted = {str(port.get("name") or "") for port in apex["spec"]["ports"]}
    return all(wanted == ports_of(item) for item in found)


async def _waypoints(k8s: Kubernetes, namespace: str) -> set[str]:
    """Addresses of the ready waypoint pods."""
    pods = await k8s.together.list(POD, namespace, labels=f"{names.ROLE}=waypoint")
    return {pod["status"]["podIP"] for pod in pods if _ready(pod)}


def _ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    up = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return up and not pod["metadata"].get("deletionTimestamp")


async def _endpoints_labelled(k8s: Kubernetes, service: ServiceId) -> bool:
    """Endpoints without the label are mirrored for good once the selector is null (seen in 4 of 98 adoptions)."""
    found = await k8s.find(ENDPOINTS, service.name, service.namespace)
    return found is None or (found["metadata"].get("labels") or {}).get(SKIP_MIRROR) == "true"


async def _sweep(k8s: Kubernetes, service: ServiceId, clock: Clock) -> None:
    """Delete what the controllers left, until two looks in a row find nothing: what comes back is somebody's."""
    left: list[Manifest] = []
    clear = 0
    for _ in range(TRIES):
        found = foreign(await _slices(k8s, service.namespace, service.name))
        left, clear = (found, 0) if found else (left, clear + 1)
        for item in found:
            await k8s.delete(ENDPOINTSLICE, item["metadata"]["name"], service.namespace)
        await k8s.delete(ENDPOINTS, service.name, service.namespace)
        if clear == 2:
            return
        await clock.sleep(0.3)
    who = sorted({entry["manager"] for item in left for entry in item["metadata"].get("managedFields") or ()})
    raise DriftError(
        f"somebody else keeps endpoints for {service}: {', '.join(who) or 'unknown'}",
        where=k8s.name,
        advice="find who writes these EndpointSlices; the Service was not lost, both kinds of endpoints answer",
    )


async def _originals_back(k8s: Kubernetes, service: ServiceId) -> bool:
    originals = addresses(await _slices(k8s, service.namespace, leaf_name(service.name)))
    return originals <= addresses(foreign(await _slices(k8s, service.namespace, service.name)))


async def _release(k8s: Kubernetes, service: ServiceId, clock: Clock) -> None:
    """Our slices leave: the agent takes them away, or we do where it does not.

    It keeps them while nobody else answers; where there are no pods at all (a source that was scaled down) nobody ever
    will, and nothing is waited for.
    """
    answered = addresses(await _slices(k8s, service.namespace, leaf_name(service.name)))

    async def gone() -> bool:
        return not of_agents(await _slices(k8s, service.namespace, service.name))

    try:
        await wait_for(gone, what="the agent to release", within=10 if answered else 0, clock=clock, every=0.2)
    except DeadlineError:
        for item in of_agents(await _slices(k8s, service.namespace, service.name)):
            await k8s.delete(ENDPOINTSLICE, item["metadata"]["name"], service.namespace)


async def _mark(k8s: Kubernetes, service: ServiceId, state: str) -> None:
    await k8s.patch(SERVICE, leaf_name(service.name), {"metadata": {"annotations": {STATE: state}}}, service.namespace)


async def _split(k8s: Kubernetes, service: ServiceId) -> bool:
    splits = await k8s.together.list(TRAFFICSPLIT, service.namespace)
    return any(item["spec"]["service"] == service.name for item in splits)


async def _slices(k8s: Kubernetes, namespace: str, service: str) -> list[Manifest]:
    """Of one Service; hundreds may be waited for at the same time, so all of the namespace are asked for at once."""
    found = await k8s.together.list(ENDPOINTSLICE, namespace)
    return [item for item in found if (item["metadata"].get("labels") or {}).get(SERVICE_NAME) == service]


async def _until(
    condition: Callable[[], Awaitable[bool]], what: str, within: float, k8s: Kubernetes, clock: Clock
) -> None:
    try:
        await wait_for(condition, what=what, within=within, clock=clock, every=0.1)
    except DeadlineError as error:
        raise LandbridgeError(
            error.what,
            where=k8s.name,
            advice="nothing was lost; `landbridge check` says what is wrong with agents and waypoints",
        ) from error


def _exported(apex: Manifest, held: Manifest) -> dict[str, Any]:
    """The labels that adoption sets, and what was stated; an export label that was there before stays its owner's."""
    labels, stated = apex["metadata"].get("labels") or {}, _annotations(held).get(PROTOCOLS)
    notes = ({} if EXPORTED in labels else {EXPORT_MADE: "true"}) | ({PROTOCOLS: stated} if stated else {})
    made = {"annotations": notes} if notes else {}
    return {"metadata": {"labels": {SKIP_MIRROR: "true", EXPORTED: "true"}, **made}}


def _marks(prior: dict[str, Any], *, keep_export: bool) -> dict[str, Any]:
    labels = dict(prior["metadata"]["labels"])
    if keep_export:
        return {"labels": {SKIP_MIRROR: labels[SKIP_MIRROR]}}
    return {"labels": labels, "annotations": {EXPORT_MADE: None, PROTOCOLS: None}}


def _annotations(manifest: Manifest) -> dict[str, str]:
    return manifest["metadata"].get("annotations") or {}


def _version(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("resourceVersion") or "")
