"""Takes two clusters apart again and leaves both as they were; refuses while traffic depends on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kinds import (
    CRD,
    DEPLOYMENT,
    HTTPROUTE,
    HTTPROUTE_V1BETA1,
    LINK,
    LINKERD_HTTPROUTE,
    NAMESPACE,
    POD,
    SERVICE,
    SERVICEPROFILE,
    TRAFFICSPLIT,
    Kind,
)
from landbridge.clients.kubernetes import Kubernetes, Objects
from landbridge.clients.several import several
from landbridge.clock import DeadlineError, wait_for
from landbridge.connect import crds, names
from landbridge.connect.connect import MADE
from landbridge.connect.slices import AGENT, WRITER
from landbridge.errors import BlockedError, LandbridgeError
from landbridge.linkerd.link import CLUSTER, MIRRORED
from landbridge.linkerd.mechanism import DRIVEN
from landbridge.model.service import Manifest, ObjectRef
from landbridge.translate.adoption import EXPORT_MADE, EXPORTED, LEAF_OF, PROTOCOLS

Progress = Callable[[str], None]
MIRRORS = 15.0
"""Seconds for Linkerd to take mirrors away whose Services are exported no more."""
SLOW = 30.0
"""Seconds between two words on what is waited for; a pod that nobody uses has ended by then."""
SWITCHES = (TRAFFICSPLIT, HTTPROUTE, HTTPROUTE_V1BETA1, LINKERD_HTTPROUTE, SERVICEPROFILE)
_EVENTS = "Event"  # they end by themselves
_MADE_KINDS = frozenset(
    {
        "Namespace",
        "PriorityClass",
        "ServiceAccount",
        "Secret",
        "ConfigMap",
        "Service",
        "EndpointSlice",
        "PodDisruptionBudget",
        "Lease",
        "Role",
        "RoleBinding",
        "ClusterRole",
        "ClusterRoleBinding",
        "Link",
    }
)
"""What is deleted by its mark; a workload or a volume never is, whoever put our label on it."""


async def disconnect(
    source: Kubernetes, target: Kubernetes, *, progress: Progress = lambda _: None, patience: float = 120.0
) -> None:
    """Remove everything of ours from both clusters; safe to repeat.

    Raises BlockedError naming the Services that are still adopted or split, and LandbridgeError naming whatever could
    not be removed.
    """
    clusters = (source, target)
    in_use = [line for k8s in clusters for line in await still_used(k8s)]
    if in_use:
        raise BlockedError(
            f"traffic still depends on the connection: {'; '.join(in_use)}",
            advice="`landbridge rollback --all` takes it home; `landbridge retire` ends what has moved",
        )
    await several(_stop(k8s, patience, progress) for k8s in clusters)
    await several(_clean(k8s, patience, progress) for k8s in clusters)
    left = [f"{k8s.name}: {ref}" for k8s in clusters for ref in await leftovers(k8s)]
    if left:
        raise LandbridgeError(f"this is left: {', '.join(left)}", advice="run disconnect again, or look what holds it")


async def still_used(k8s: Kubernetes) -> list[str]:
    """What would break, as lines for people."""
    leaves = await k8s.list(SERVICE, labels=LEAF_OF)
    lines = [f"{k8s.name}: Service {_place(item, item['metadata']['labels'][LEAF_OF])} is adopted" for item in leaves]
    for kind in SWITCHES:
        splits = [item for _, item in await _listed(k8s, kind) if names.is_ours(item) or _is_driven(item)]
        lines += [f"{k8s.name}: {kind.kind} {_place(item)} is in force" for item in splits]
    return list(dict.fromkeys(lines))  # one that is served in two versions is listed twice


def _is_driven(item: Manifest) -> bool:
    return DRIVEN in (item["metadata"].get("annotations") or {})


async def leftovers(k8s: Kubernetes) -> list[ObjectRef]:
    """Every object in a cluster that carries our mark, of all kinds that can be listed."""
    split_used = await k8s.find(CRD, crds.NAME) is not None and bool(await k8s.list(TRAFFICSPLIT))
    refs = [ObjectRef.of(item) for _, item in await _marked(k8s)]
    return [ref for ref in refs if not (ref.kind == CRD.kind and split_used)]


async def _stop(k8s: Kubernetes, patience: float, progress: Progress) -> None:
    """First the agents, who would make again what is removed. A pod goes when nobody uses it, at its grace period's
    end at the latest.
    """
    grace = 0.0
    for item in await k8s.list(DEPLOYMENT, labels=f"{names.SELECT_OURS},{names.ROLE}"):
        grace = max(grace, item["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 0))
        await k8s.delete(DEPLOYMENT, item["metadata"]["name"], item["metadata"]["namespace"])
    ends = k8s.clock.monotonic() + grace
    slow = k8s.clock.monotonic() + SLOW

    async def gone() -> bool:
        nonlocal slow
        left = await k8s.list(POD, labels=f"{names.SELECT_OURS},{names.ROLE}")
        if left and k8s.clock.monotonic() > slow:
            slow += SLOW
            progress(_not_gone(k8s, left, ends - k8s.clock.monotonic()))
        return not left

    await wait_for(gone, what=f"pods of {k8s.name} gone", within=grace + patience, clock=k8s.clock, every=0.5)
    progress(f"{k8s.name}: gateway and waypoints have ended")


def _not_gone(k8s: Kubernetes, pods: Objects, seconds: float) -> str:
    where = ", ".join(sorted({item["metadata"]["namespace"] for item in pods}))
    return (
        f"{k8s.name}: pods in {where} are not gone yet: "
        f"they wait for requests and connections in progress, {max(0, seconds):.0f} s at most"
    )


async def _clean(k8s: Kubernetes, patience: float, progress: Progress) -> None:
    await several(_take_export_back(k8s, item) for item in await k8s.list(SERVICE, labels=f"{EXPORTED}=true"))
    await _unlink(k8s, patience)
    split_kept = await k8s.find(CRD, crds.NAME) is not None and not await crds.remove(k8s)
    marked = await _marked(k8s, only=_MADE_KINDS)
    for last in (False, True):  # namespaces last
        await several(_delete(k8s, kind, item) for kind, item in marked if (kind.kind == NAMESPACE.kind) is last)
    await _remove_made_namespaces(k8s)

    async def gone() -> bool:
        return not await _marked(k8s, only=_MADE_KINDS)

    await wait_for(gone, what=f"everything of ours gone from {k8s.name}", within=patience, clock=k8s.clock, every=0.5)
    progress(
        f"{k8s.name}: nothing of landbridge is left" + (", TrafficSplit stays: it is in use" if split_kept else "")
    )


async def _take_export_back(k8s: Kubernetes, item: Manifest) -> None:
    """Where the export is ours."""
    meta = item["metadata"]
    if EXPORT_MADE in (meta.get("annotations") or {}):
        labels = {"labels": {EXPORTED: None}, "annotations": {EXPORT_MADE: None, PROTOCOLS: None}}
        await k8s.patch(SERVICE, meta["name"], {"metadata": labels}, meta["namespace"])


async def _delete(k8s: Kubernetes, kind: Kind, item: Manifest) -> None:
    await k8s.delete(kind, item["metadata"]["name"], item["metadata"].get("namespace") or "")


async def _unlink(k8s: Kubernetes, patience: float) -> None:
    """Links of ours go once their mirrors have, for nobody cleans up behind a Link; mirrors that stay are taken away.

    Where no controller runs they stay, and one that dies late may make one again (linkerd2#4707).
    """
    linked = [(kind, item) for kind, item in await _marked(k8s, only={"Link"}) if kind.group == LINK.group]
    for kind, item in linked:
        mirrored = f"{MIRRORED}=true,{CLUSTER}={item['spec']['targetClusterName']}"

        async def gone(mirrored: str = mirrored) -> bool:
            return not await k8s.list(SERVICE, labels=mirrored)

        with suppress(DeadlineError):
            await wait_for(gone, what="mirrors gone", within=min(patience, MIRRORS), clock=k8s.clock, every=0.5)
        await k8s.delete(kind, item["metadata"]["name"], item["metadata"]["namespace"])
        for mirror in await k8s.list(SERVICE, labels=mirrored):
            await k8s.delete(SERVICE, mirror["metadata"]["name"], mirror["metadata"]["namespace"])


async def _marked(k8s: Kubernetes, *, only: Collection[str] = ()) -> list[tuple[Kind, Manifest]]:
    kinds = [kind for kind in await k8s.resources() if kind.kind != _EVENTS and "delete" in kind.verbs]
    kinds = [kind for kind in kinds if not only or kind.kind in only]
    answers = await asyncio.gather(*(_listed(k8s, kind, names.SELECT_OURS) for kind in kinds))
    slices = [kind for kind in kinds if kind.kind == "EndpointSlice"]
    answers += await asyncio.gather(*(_listed(k8s, kind, f"{WRITER}={AGENT}") for kind in slices))
    found = {(kind, str(ObjectRef.of(item))): item for kind, item in (pair for answer in answers for pair in answer)}
    return [(kind, item) for (kind, _), item in found.items()]


async def _listed(k8s: Kubernetes, kind: Kind, labels: str = "", namespace: str = "") -> list[tuple[Kind, Manifest]]:
    try:
        return [(kind, item) for item in await k8s.list(kind, namespace, labels=labels)]
    except NotFoundError:  # a kind that went away between discovery and now
        return []


async def _remove_made_namespaces(k8s: Kubernetes) -> None:
    """A namespace that connect made goes only when nobody put anything in."""
    for item in await k8s.list(NAMESPACE):
        if (item["metadata"].get("annotations") or {}).get(MADE) and await _is_empty(k8s, item["metadata"]["name"]):
            await k8s.delete(NAMESPACE, item["metadata"]["name"])


async def _is_empty(k8s: Kubernetes, namespace: str) -> bool:
    kinds = [kind for kind in await k8s.resources() if kind.namespaced and kind.kind not in {_EVENTS, "PodMetrics"}]
    answers = await asyncio.gather(*(_listed(k8s, kind, namespace=namespace) for kind in kinds))
    inhabitants = {(kind.kind, item["metadata"]["name"]) for answer in answers for kind, item in answer}
    return inhabitants <= {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def _place(item: Manifest, name: str = "") -> str:
    return f"{item['metadata']['namespace']}/{name or item['metadata']['name']}"
