"""Whether clusters that Linkerd joins are well, from what is in use: Links, credentials, controllers, probes, mirrors.

What only a running Linkerd can say is "unknown" where it does not say it; unknown is neither well nor ill.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from landbridge.clients.kinds import DEPLOYMENT, ENDPOINTSLICE, POD, SECRET, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clients.linkerd import detect, links
from landbridge.connect.link import decode
from landbridge.errors import LandbridgeError
from landbridge.linkerd import access, probes
from landbridge.linkerd.link import CLUSTER, MIRRORED
from landbridge.linkerd.probes import Probed
from landbridge.linkerd.versions import version_of
from landbridge.model.inventory import Severity
from landbridge.model.linkerd import Linkerd
from landbridge.model.service import Manifest

UNKNOWN = "unknown: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One cluster as its checks see it, and the other one."""

    name: str
    other: str
    here: Linkerd | None
    there: Linkerd | None
    link: Manifest | None
    secrets: Mapping[str, Manifest | None]
    """The credentials, by namespace."""
    token: bytes
    """What the other cluster lets in now."""
    mirrors: Mapping[str, int]
    """Mirrored Services with how many endpoints are ready."""
    probed: Probed | str
    """What the controller says of the other gateway, or why that is not known."""


Judge = Callable[[Seen], str]


async def look(k8s: Kubernetes, other: Kubernetes) -> Seen:
    """Read both clusters for the checks of one."""
    here, there = await asyncio.gather(detect(k8s), detect(other))
    spaces = [space for space in (here.extension, here.namespace) if space] if here else []
    name = f"cluster-credentials-{other.name}"
    secrets = await asyncio.gather(*(k8s.find(SECRET, name, space) for space in spaces))
    token = await other.find(SECRET, f"{access.ACCOUNT}-token", there.extension) if there and there.extension else None
    found = await links(k8s, here.extension) if here and here.multicluster else []
    return Seen(
        name=k8s.name,
        other=other.name,
        here=here,
        there=there,
        link=next((item for item in found if _spec(item).get("targetClusterName") == other.name), None),
        secrets=dict(zip(spaces, secrets, strict=True)),
        token=decode(token, "token"),
        mirrors=await mirrors(k8s, other.name),
        probed=await probed(k8s, here, other.name),
    )


async def mirrors(k8s: Kubernetes, other: str) -> dict[str, int]:
    """The mirrored Services of the other cluster, `namespace/name`, with their ready endpoints."""
    found = await k8s.list(SERVICE, labels=f"{MIRRORED}=true,{CLUSTER}={other}")
    slices = [
        item
        for namespace in {m["metadata"]["namespace"] for m in found}
        for item in await k8s.list(ENDPOINTSLICE, namespace)
    ]
    ready: dict[str, int] = {}
    for item in slices:
        meta = item["metadata"]
        service = f"{meta['namespace']}/{(meta.get('labels') or {}).get('kubernetes.io/service-name', '')}"
        up = [e for e in item.get("endpoints") or () if (e.get("conditions") or {}).get("ready") is not False]
        ready[service] = ready.get(service, 0) + len(up)
    names = [f"{m['metadata']['namespace']}/{m['metadata']['name']}" for m in found]
    return {name: ready.get(name, 0) for name in sorted(names)}


async def probed(k8s: Kubernetes, here: Linkerd | None, other: str) -> Probed | str:
    """What the mirror controller of a linked cluster says; a reason where it says nothing."""
    version = version_of(here.minor) if here else None
    if here is None or version is None or not here.extension:
        return "there is no Linkerd that is known"
    controller = await k8s.find(DEPLOYMENT, f"{version.controller}{other}", here.extension)
    if controller is None:
        return f"there is no Deployment {version.controller}{other}"
    labels = ",".join(f"{key}={value}" for key, value in controller["spec"]["selector"]["matchLabels"].items())
    pods = await k8s.list(POD, here.extension, labels=labels)
    for pod in pods:
        try:
            page = await k8s.proxy(pod["metadata"]["name"], here.extension, probes.PORT, "/metrics")
        except LandbridgeError:
            continue
        if found := probes.read(page.decode(errors="replace"), other):
            return found
    return "no pod of the mirror controller says anything" if pods else "the mirror controller has no pod"


def _spec(manifest: Manifest | None) -> Mapping[str, Any]:
    return (manifest or {}).get("spec") or {}


def _version(seen: Seen) -> str:
    if seen.here is None:
        return "there is no Linkerd"
    return "" if version_of(seen.here.minor) else f"{seen.here.version or 'no version'} is not known"


def _linked(seen: Seen) -> str:
    return "" if seen.link else f"there is no Link to {seen.other}"


def _door(seen: Seen) -> str:
    door = seen.there.door if seen.there else None
    if door is None:
        return f"{seen.other} has no multicluster gateway"
    spec = _spec(seen.link)
    known = {text for text in str(spec.get("gatewayAddress") or "").split(",") if text}
    wrong = []
    if door.addresses and not known & set(door.addresses):
        wrong.append(f"it dials {', '.join(sorted(known)) or 'nobody'}, the Service has {', '.join(door.addresses)}")
    if spec.get("gatewayIdentity") != door.identity:
        wrong.append(f"it expects {spec.get('gatewayIdentity') or 'nobody'}, the gateway is {door.identity}")
    return "; ".join(wrong)


def _credentials(seen: Seen) -> str:
    missing = [space for space, secret in seen.secrets.items() if not decode(secret, "kubeconfig")]
    if missing:
        return f"none in {', '.join(missing)}"
    ours = {space: decode(secret, "kubeconfig") for space, secret in seen.secrets.items() if secret}
    if not seen.token:
        return UNKNOWN + f"{seen.other} has no account of ours; a Link that stood before has its own"
    stale = [space for space, config in ours.items() if seen.token not in config]
    return f"those in {', '.join(stale)} are not the ones that {seen.other} gives" if stale else ""


def _trust(seen: Seen) -> str:
    ours, theirs = (set(one.anchors if one else ()) for one in (seen.here, seen.there))
    if not ours or not theirs:
        return UNKNOWN + "linkerd-config does not have them"
    return "" if ours & theirs else "they have none in common"


def _controller(seen: Seen) -> str:
    ready = seen.here is not None and seen.other in seen.here.controllers
    return "" if ready else f"none for {seen.other} is ready"


def _probe(seen: Seen) -> str:
    if isinstance(seen.probed, str):
        return UNKNOWN + seen.probed
    return "" if seen.probed.alive else "it does not answer its probes"


def _mirrors(seen: Seen) -> str:
    dead = [name for name, ready in seen.mirrors.items() if not ready]
    return f"without ready endpoints: {', '.join(dead)}" if dead else ""


AGAIN = "run `landbridge connect` again"
CHECKS: tuple[tuple[str, Severity, str, Judge], ...] = (
    ("Linkerd is one that is known", Severity.BLOCKER, "install a version that landbridge drives", _version),
    ("there is a Link to the other cluster", Severity.BLOCKER, AGAIN, _linked),
    ("the Link knows the other gateway", Severity.BLOCKER, AGAIN, _door),
    ("credentials are those that the other cluster gives", Severity.BLOCKER, AGAIN, _credentials),
    ("both trust the same anchor", Severity.BLOCKER, "give both clusters one trust anchor", _trust),
    ("the mirror controller is ready", Severity.BLOCKER, "look at its pods' events and logs", _controller),
    ("the other gateway answers", Severity.BLOCKER, "look at the gateway's pods in the other cluster", _probe),
    ("mirrored Services answer", Severity.WARNING, "look whether their pods in the other cluster are ready", _mirrors),
)
