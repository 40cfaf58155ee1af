"""Carries out what `restore` decided, and tells people what happened: an Event, and annotations on the leaf."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from landbridge.agent import names, restore
from landbridge.clients.answers import ConflictError, NotFoundError
from landbridge.clients.kubernetes import ENDPOINTS, ENDPOINTSLICE, EVENT, SERVICE, Kubernetes
from landbridge.clock import rfc3339
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest


async def is_labelled(k8s: Kubernetes, apex: Manifest) -> bool:
    """Whether the Endpoints object of a Service carries the skip-mirror label, or does not exist."""
    meta = apex["metadata"]
    found = await k8s.find(ENDPOINTS, meta["name"], meta["namespace"])
    return found is None or names.label(found, names.SKIP_MIRROR) == "true"


async def carry_out(k8s: Kubernetes, apex: Manifest, leaf: Manifest, action: restore.Action) -> str:
    """Do one step and return it in words. A conflict means that the object changed again: the next look decides."""
    with suppress(ConflictError, NotFoundError):
        match action:
            case restore.Label():
                await _patch(k8s, apex, {"metadata": {"labels": {names.SKIP_MIRROR: "true"}}})
                return "the skip-mirror label was set again"
            case restore.Await(reason=reason):
                return f"the owner re-applied it: {reason}"
            case restore.MoveLeaf(selector=selector):
                cleared = dict.fromkeys((leaf["spec"].get("selector") or {}).keys() - selector.keys())
                await _patch(k8s, leaf, {"spec": {"selector": dict(selector) | cleared}})
                await _tell(k8s, apex, "OwnerChangedSelector", "the owner's new selector was given to the leaf")
                return "the owner's new selector was given to the leaf"
            case restore.Restore(note=note):
                await _patch(k8s, apex, {"spec": {"selector": None}})
                stamp = {names.RESTORED: rfc3339(k8s.clock.now())}
                await _patch(k8s, leaf, {"metadata": {"annotations": stamp}})
                await _tell(k8s, apex, "OwnerReapplied", note)
                return note
            case restore.Sweep(slices=slices):
                for item in slices:
                    meta = item["metadata"]
                    await k8s.delete(ENDPOINTSLICE, meta["name"], meta["namespace"], version=meta["resourceVersion"])
                return "slices of the original endpoints were removed"
            case restore.Drift(what=what):
                if names.annotation(leaf, names.DRIFT) != what:
                    await _patch(k8s, leaf, {"metadata": {"annotations": {names.DRIFT: what}}})
                    await _tell(k8s, apex, "OwnerChangedPorts", what, kind="Warning")
                return f"drift: {what}"
    return "it changed again meanwhile"


async def _patch(k8s: Kubernetes, service: Manifest, patch: dict[str, object]) -> None:
    meta = service["metadata"]
    await k8s.patch(
        SERVICE, meta["name"], patch, meta["namespace"], version=meta["resourceVersion"], manager=names.MANAGER
    )


async def _tell(k8s: Kubernetes, service: Manifest, reason: str, message: str, *, kind: str = "Normal") -> None:
    """An Event on the Service; it is information, so a failure to write it changes nothing."""
    meta = service["metadata"]
    now = rfc3339(k8s.clock.now())
    mark = hashlib.sha256(f"{meta['uid']}{reason}{meta['resourceVersion']}".encode()).hexdigest()[:12]
    second = now.partition(".")[0] + "Z"
    event = {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{meta['name']}.{mark}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Service",
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "reason": reason,
        "message": message,
        "type": kind,
        "source": {"component": names.MANAGER},
        "firstTimestamp": second,
        "lastTimestamp": second,
        "count": 1,
    }
    with suppress(LandbridgeError):
        await k8s.create(event, manager=names.MANAGER)
