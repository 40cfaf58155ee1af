"""Joins two clusters, both ways, and says what it does meanwhile; safe to repeat after any interruption."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace

from landbridge.clients.answers import ForbiddenError
from landbridge.clients.kinds import (
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CONFIGMAP,
    CRD,
    DEPLOYMENT,
    NAMESPACE,
    NODE,
    SERVICE,
    Kind,
)
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import DeadlineError, wait_for
from landbridge.connect import certificates, crds, linkerd, names, roles
from landbridge.connect.link import link_to
from landbridge.connect.manifests import link_token, manifests, record
from landbridge.connect.options import Options
from landbridge.errors import AccessError, BlockedError, LandbridgeError
from landbridge.model.service import BUILTIN, LINKERD, Manifest, ObjectRef
from landbridge.translate.adoption import LEAF_OF, OURS

Progress = Callable[[str], None]
MADE = "landbridge.dev/made-by"  # on a namespace of the target that was missing

_RECORDED = frozenset({"namespaces", "image", "envoy_image", "enforce"})
_NEEDED = (  # what connect itself does, by cluster: docs/permissions.md
    ("namespaces", "create"),
    ("priorityclasses.scheduling.k8s.io", "create"),
    ("customresourcedefinitions.apiextensions.k8s.io", "create"),
    ("clusterroles.rbac.authorization.k8s.io", "create"),
    ("clusterrolebindings.rbac.authorization.k8s.io", "create"),
    ("roles.rbac.authorization.k8s.io", "create"),
    ("rolebindings.rbac.authorization.k8s.io", "create"),
    ("serviceaccounts", "create"),
    ("secrets", "create"),
    ("secrets", "get"),
    ("configmaps", "create"),
    ("services", "create"),
    ("deployments.apps", "create"),
    ("deployments.apps", "get"),
    ("nodes", "list"),
    ("poddisruptionbudgets.policy", "create"),
)


def _silent(_: str) -> None:
    return


async def connect(source: Kubernetes, target: Kubernetes, options: Options, *, progress: Progress = _silent) -> None:
    """Join them by the data plane that was chosen: Linkerd's, or gateways and waypoints of ours.

    Returns when all that is ours serves. Raises AccessError for missing rights and BlockedError for objects of somebody
    else, before anything is written.
    """
    ways, why = await linkerd.choose(source, target, options)
    await asyncio.gather(*(_check_plane(k8s, LINKERD.name if ways else BUILTIN.name) for k8s in (source, target)))
    progress(f"data plane: {'linkerd' if ways else 'builtin'} ({why})")
    if ways:
        await linkerd.connect(source, target, ways, options, progress=progress)
        return
    clusters = (source, target)
    await asyncio.gather(*(_check_rights(k8s) for k8s in clusters))
    await asyncio.gather(*(_check_owners(k8s, _other(k8s, clusters), options) for k8s in clusters))
    await asyncio.gather(*(_check_policies(k8s, options) for k8s in clusters))
    await asyncio.gather(*(_prepare(k8s, _other(k8s, clusters), options, progress) for k8s in clusters))
    authorities = await asyncio.gather(*(certificates.authority(k8s) for k8s in clusters))
    links = await asyncio.gather(
        *(link_to(k8s, authority.trusted, options) for k8s, authority in zip(clusters, authorities, strict=True))
    )
    for k8s, signer, link in zip(clusters, authorities, reversed(links), strict=True):
        await k8s.apply(link.secret(), force=True)
        for namespace, account in certificates.places(options.namespaces):
            await certificates.provide_leaf(k8s, signer, link.authority, namespace, account)
        progress(f"{k8s.name}: calls {link.cluster} at {', '.join(link.gateways)}")
    await asyncio.gather(*(_start(k8s, _other(k8s, clusters), options, progress) for k8s in clusters))


async def _prepare(k8s: Kubernetes, other: str, options: Options, progress: Progress) -> None:
    """Everything but the pods."""
    if await crds.provide(k8s):
        progress(f"{k8s.name}: TrafficSplit defined, it was missing")
    for namespace in options.namespaces:
        if await k8s.find(NAMESPACE, namespace) is None:
            await k8s.create(_namespace(namespace))
            progress(f"{k8s.name}: namespace {namespace} made, it was missing")
    for manifest in [*_desired(k8s, other, options), link_token()]:
        if manifest["kind"] != DEPLOYMENT.kind:
            await k8s.apply(manifest, force=True)
    await _take_back(k8s, options)
    await k8s.apply(_record(other, options), force=True)
    progress(f"{k8s.name}: accounts, roles and the gateway's Service are there")


async def _start(k8s: Kubernetes, other: str, options: Options, progress: Progress) -> None:
    """The pods, and wait until all of them are configured and ready."""
    nodes = [node for node in await k8s.list(NODE) if not node["spec"].get("unschedulable")]
    options = replace(options, spread_hard=options.spread_hard or len(nodes) > 1)
    wanted = [manifest for manifest in _desired(k8s, other, options) if manifest["kind"] == DEPLOYMENT.kind]
    for manifest in wanted:
        await k8s.apply(manifest, force=True)
    await asyncio.gather(*(_rolled_out(k8s, manifest, options.patience) for manifest in wanted))
    progress(f"{k8s.name}: gateway and waypoints in {', '.join(options.namespaces)} are ready")


async def _rolled_out(k8s: Kubernetes, manifest: Manifest, patience: float) -> None:
    meta = manifest["metadata"]

    async def ready() -> bool:
        return is_rolled_out(await k8s.get(DEPLOYMENT, meta["name"], meta["namespace"]))

    what = f"Deployment {meta['namespace']}/{meta['name']} of {k8s.name} ready"
    try:
        await wait_for(ready, what=what, within=patience, clock=k8s.clock, every=0.5)
    except DeadlineError as error:
        raise LandbridgeError(
            error.what,
            where=k8s.name,
            advice="look at its pods (image, capacity, Pod Security), then run connect again: it goes on where it was",
        ) from error


def is_rolled_out(deployment: Manifest) -> bool:
    """Whether all pods of a Deployment are of its newest template and available."""
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


async def _check_plane(k8s: Kubernetes, chosen: str) -> None:
    """A cluster that is joined one way is not joined another way beside it: two mirrors would have one name."""
    try:
        found = await k8s.find(CONFIGMAP, names.CONNECTION, names.HOME)
    except ForbiddenError:  # all that is missing is named next
        return
    standing = BUILTIN.name if found is None else str(found["data"].get("plane") or BUILTIN.name)
    if found is not None and standing != chosen:
        raise BlockedError(
            f"{k8s.name} is joined by the data plane {standing}, and {chosen} was chosen now",
            where=k8s.name,
            advice=f"say dataPlane.plane: {standing} to go on with it, or `landbridge disconnect` first",
        )


async def _check_rights(k8s: Kubernetes) -> None:
    answers = await asyncio.gather(*(k8s.can(verb, resource, names.HOME) for resource, verb in _NEEDED))
    missing = [f"{verb} {resource}" for (resource, verb), allowed in zip(_NEEDED, answers, strict=True) if not allowed]
    if missing:
        raise AccessError(
            f"connect may not do this in {k8s.name}: {', '.join(missing)}",
            where=k8s.name,
            advice="grant it with the role `landbridge-connect` of docs/permissions.md; nothing was written",
        )


async def _check_owners(k8s: Kubernetes, other: str, options: Options) -> None:
    """Nobody else's objects may bear our names."""
    wanted = [manifest for manifest in _desired(k8s, other, options) if manifest["kind"] != CRD.kind]
    foreign = [str(ref) for ref in await _foreign(k8s, wanted)]
    if foreign:
        raise BlockedError(
            f"these exist in {k8s.name} and are not landbridge's: {', '.join(foreign)}",
            where=k8s.name,
            advice="rename or remove them; landbridge changes only what it made",
        )


async def _check_policies(k8s: Kubernetes, options: Options) -> None:
    """Waypoints that keep policies go on doing so for as long as somebody's Service stands behind them."""
    found = await k8s.find(CONFIGMAP, names.CONNECTION, names.HOME)
    enforced = found is not None and json.loads(found["data"]["options"]).get("enforce", False)
    if enforced and not options.enforce and (adopted := await k8s.list(SERVICE, labels=LEAF_OF)):
        raise BlockedError(
            f"waypoints of {k8s.name} keep the NetworkPolicies of {len(adopted)} adopted Services",
            where=k8s.name,
            advice="leave `policies: enforce` in migration.yaml until they are un-adopted; nothing was written",
        )


async def _take_back(k8s: Kubernetes, options: Options) -> None:
    """Rights that only waypoints which keep policies need."""
    for namespace in () if options.enforce else options.namespaces:
        for kind in (CLUSTERROLEBINDING, CLUSTERROLE):
            found = await k8s.find(kind, roles.wide_name(namespace))
            if found and names.is_ours(found):
                await k8s.delete(kind, roles.wide_name(namespace))


async def _foreign(k8s: Kubernetes, wanted: Iterable[Manifest]) -> list[ObjectRef]:
    found = []
    for manifest in wanted:
        meta = manifest["metadata"]
        kind: Kind = await k8s.kind_of(manifest)
        live = await k8s.find(kind, meta["name"], meta.get("namespace", ""))
        if live and not names.is_ours(live):
            found.append(ObjectRef.of(manifest))
    return found


def _desired(k8s: Kubernetes, other: str, options: Options) -> list[Manifest]:
    return manifests(k8s.name, other, options, own_split=False)


def _other(k8s: Kubernetes, clusters: tuple[Kubernetes, Kubernetes]) -> str:
    return clusters[1].name if k8s is clusters[0] else clusters[0].name


def _namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "annotations": {MADE: OURS}}}


async def recorded_plane(k8s: Kubernetes) -> str:
    """The data plane that a cluster was joined by; LandbridgeError when it was not joined."""
    await recorded(k8s)
    found = await k8s.get(CONFIGMAP, names.CONNECTION, names.HOME)
    return str(found["data"].get("plane") or BUILTIN.name)


def _record(other: str, options: Options) -> Manifest:
    """What was joined, so that `check` and `disconnect` need no settings."""
    chosen = {key: value for key, value in asdict(options).items() if key in _RECORDED}
    return record(names.CONNECTION, names.HOME, {"other": other, "options": json.dumps(chosen, sort_keys=True)})


async def recorded(k8s: Kubernetes) -> tuple[str, tuple[str, ...]]:
    """The other cluster's name and the namespaces that a cluster was joined with; LandbridgeError when it was not."""
    found = await k8s.find(CONFIGMAP, names.CONNECTION, names.HOME)
    if found is None:
        raise LandbridgeError(f"{k8s.name} is not connected", where=k8s.name, advice="`landbridge connect` joins it")
    return found["data"]["other"], tuple(json.loads(found["data"]["options"])["namespaces"])
