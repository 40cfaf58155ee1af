"""What the other cluster's mirror controller and control plane may read here (pure).

The rules are those that Linkerd's multicluster chart gives its own account since 2.14, under an account of ours, so
that `disconnect` ends this connection's rights and no other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from landbridge.model.linkerd import Linkerd
from landbridge.model.service import Manifest

RBAC = "rbac.authorization.k8s.io"
ACCOUNT = "landbridge-service-mirror"
READ = ("list", "get", "watch")


def account(here: Linkerd, labels: Mapping[str, str]) -> list[Manifest]:
    """The account, its token, its role for the whole cluster (Linkerd knows no smaller one), and the binding."""
    return [
        _object("v1", "ServiceAccount", labels, here.extension),
        token(here, labels),
        _object(f"{RBAC}/v1", "ClusterRole", labels) | {"rules": rules()},
        _object(f"{RBAC}/v1", "ClusterRoleBinding", labels)
        | {
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": here.extension}],
        },
    ]


def token(here: Linkerd, labels: Mapping[str, str]) -> Manifest:
    """The Secret that the cluster fills with a token: since Kubernetes 1.24 none is made by itself."""
    made = _object("v1", "Secret", labels, here.extension)
    made["metadata"] |= {
        "name": f"{ACCOUNT}-token",
        "annotations": {"kubernetes.io/service-account.name": ACCOUNT},
    }
    return made | {"type": "kubernetes.io/service-account-token"}


def rules() -> list[dict[str, Any]]:
    """Services and endpoints are mirrored; pods, their owners and servers are asked for in a flat network only.

    Skipped Services are told by an event in the cluster that has them, which is this one.
    """
    return [
        {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": list(READ)},
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": list(READ)},
        {"apiGroups": [""], "resources": ["pods", "endpoints", "services"], "verbs": list(READ)},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": list(READ)},
        {"apiGroups": ["policy.linkerd.io"], "resources": ["servers"], "verbs": list(READ)},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["linkerd-config"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    ]


def _object(api_version: str, kind: str, labels: Mapping[str, str], namespace: str = "") -> Manifest:
    meta: dict[str, Any] = {"name": ACCOUNT, "labels": dict(labels)}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}
