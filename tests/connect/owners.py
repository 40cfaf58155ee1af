"""How owners write their manifests again: kubectl apply, server-side apply with force, Helm."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.model.service import Manifest

LAST = "kubectl.kubernetes.io/last-applied-configuration"


async def apply_client_side(k8s: Kubernetes, manifest: Manifest) -> None:
    """As `kubectl apply`: three-way merge of the last applied, the live and the new one."""
    new = deepcopy(manifest)
    new["metadata"].setdefault("annotations", {})[LAST] = json.dumps(manifest)
    live = await k8s.get(SERVICE, new["metadata"]["name"], new["metadata"]["namespace"])
    last = json.loads((live["metadata"].get("annotations") or {}).get(LAST, "{}"))
    await _patch(k8s, three_way(last, live, new), new, "kubectl-client-side-apply")


async def upgrade_with_helm(k8s: Kubernetes, old: Manifest, new: Manifest) -> None:
    """As Helm 3: three-way merge of the last release's, the live and the new one."""
    live = await k8s.get(SERVICE, new["metadata"]["name"], new["metadata"]["namespace"])
    await _patch(k8s, three_way(old, live, new), new, "helm")


async def apply_server_side(k8s: Kubernetes, manifest: Manifest) -> None:
    """As `kubectl apply --server-side --force-conflicts`."""
    await k8s.apply(manifest, force=True, manager="kubectl")


def three_way(last: Any, live: Any, new: Any) -> dict[str, Any]:
    """The merge patch: what is new or differs from the live object, and null for what is no longer written."""
    patch: dict[str, Any] = {}
    for key, value in new.items():
        here = live.get(key)
        if isinstance(value, dict):
            inner = three_way(last.get(key) or {}, here or {}, value)
            if inner or here is None:
                patch[key] = inner
        elif here != value:
            patch[key] = value
    patch.update({key: None for key in last if key not in new and key in live})
    return patch


async def _patch(k8s: Kubernetes, patch: dict[str, Any], manifest: Manifest, manager: str) -> None:
    meta = manifest["metadata"]
    await k8s.patch(SERVICE, meta["name"], patch, meta["namespace"], manager=manager)
