"""Which objects stay behind: made by controllers, tied to the old cluster, or owned by somebody who moves them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from landbridge.model.service import Manifest
from landbridge.translate.rules import Drop

NEVER = {
    "Event": "events belong to the old cluster",
    "Node": "nodes belong to the old cluster",
    "CSINode": "nodes belong to the old cluster",
    "VolumeAttachment": "attachments belong to the old cluster",
    "Lease": "leases are taken anew",
    "ControllerRevision": "its controller makes it",
    "PodMetrics": "a measurement",
    "NodeMetrics": "a measurement",
    "CSIStorageCapacity": "its driver makes it",
    "IPAddress": "the API server makes it",
    "ServiceCIDR": "belongs to the old cluster",
    "CertificateSigningRequest": "a request that is over",
    "ComponentStatus": "belongs to the old cluster",
    "ReplicaSet": "its Deployment makes it",
    "PersistentVolume": "data moves by a step of its own",
    "PersistentVolumeClaim": "data moves by a step of its own",
    "TargetGroupBinding": "made anew for the target's load balancer",
    "TrafficSplit": "it divides the old cluster's traffic",
    "APIService": "its controller registers it",
    "Build": "OpenShift only",
}
OPERATOR_LIFECYCLE = frozenset(
    {"Subscription", "InstallPlan", "ClusterServiceVersion", "CatalogSource", "OperatorGroup", "OperatorCondition"}
)
OWNED_SECRETS = frozenset({"ExternalSecret", "SealedSecret", "Certificate"})
MADE_CONFIGMAPS = frozenset({"kube-root-ca.crt", "openshift-service-ca.crt"})
BUILT_IN_ACCOUNTS = ("default", "builder", "deployer", "pipeline")
SYSTEM_BINDINGS = ("admin", "system:deployers", "system:image-builders", "system:image-pullers")
TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name
OURS = "app.kubernetes.io/managed-by"


def dropped(manifest: Manifest) -> Drop | None:
    """Why an object is not copied, or None."""
    meta = manifest["metadata"]
    kind = manifest["kind"]
    if meta.get("deletionTimestamp"):
        return Drop(reason="it is being deleted")
    if (meta.get("labels") or {}).get(OURS) == "landbridge":
        return Drop(reason="landbridge made it")
    if kind in OPERATOR_LIFECYCLE and manifest["apiVersion"].startswith("operators.coreos.com/"):
        return Drop(reason="the operator's own objects", note="install the operator on the target first")
    if manifest["apiVersion"].startswith(("metrics.k8s.io/", "authorization.openshift.io/")):
        return Drop(reason="a view, not an object")
    if kind in NEVER:
        return Drop(reason=NEVER[kind])
    if by := _owner(meta):
        return Drop(reason=by)
    check = KINDS.get(kind)
    return check(manifest) if check else None


def _owner(meta: Mapping[str, Any]) -> str:
    for owner in meta.get("ownerReferences") or ():
        if owner["kind"] in OWNED_SECRETS:
            return f"{owner['kind']} {owner['name']} makes it on the target as well"
        if owner.get("controller"):
            return f"{owner['kind']} {owner['name']} makes it"
    return ""


def _secret(manifest: Manifest) -> Drop | None:
    kind = manifest.get("type", "")
    meta = manifest["metadata"]
    annotations = meta.get("annotations") or {}
    account = annotations.get("kubernetes.io/service-account.name", "")
    if kind == "helm.sh/release.v1":
        labels = meta.get("labels") or {}
        release = f"{labels.get('name', meta['name'])} (revision {labels.get('version', '?')})"
        return Drop(reason=f"Helm release {release}", note="its objects are copied; or let Helm deploy to the target")
    if kind == "kubernetes.io/dockercfg" and account:
        return Drop(reason=f"made for ServiceAccount {account}")
    if kind == TOKEN and (account in BUILT_IN_ACCOUNTS or meta["name"].startswith(f"{account}-token-")):
        return Drop(reason=f"a token made for ServiceAccount {account}")
    return None


def _configmap(manifest: Manifest) -> Drop | None:
    meta = manifest["metadata"]
    if meta["name"] in MADE_CONFIGMAPS:
        return Drop(reason="every cluster makes its own")
    if "control-plane.alpha.kubernetes.io/leader" in (meta.get("annotations") or {}):
        return Drop(reason="a leader election")
    if (meta.get("labels") or {}).get("OWNER") == "TILLER":
        return Drop(reason="a release of Helm 2", note="its objects are copied")
    return None


def _service(manifest: Manifest) -> Drop | None:
    meta = manifest["metadata"]
    if "mirror.linkerd.io/mirrored-service" in (meta.get("labels") or {}):
        return Drop(reason="a mirror of another cluster's Service: copying it makes a loop")
    if (meta.get("namespace"), meta["name"]) == ("default", "kubernetes"):
        return Drop(reason="every cluster makes its own")
    return None


def _endpoints(manifest: Manifest) -> Drop | None:
    meta = manifest["metadata"]
    labels = meta.get("labels") or {}
    by_hand = not (
        labels.get("endpointslice.kubernetes.io/managed-by")
        or "endpoints.kubernetes.io/last-change-trigger-time" in (meta.get("annotations") or {})
        or labels.get("endpoints.kubernetes.io/managed-by")
    )
    return None if by_hand else Drop(reason="the endpoint controller makes it")


def _pod(manifest: Manifest) -> Drop | None:
    if (manifest.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return Drop(reason="it is over")
    if "kubernetes.io/config.mirror" in (manifest["metadata"].get("annotations") or {}):
        return Drop(reason="a static pod of the old node")
    return Drop(reason="a bare pod", note="no controller runs it: give it a Deployment, or start it by hand")


def _job(manifest: Manifest) -> Drop | None:
    done = any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in _conditions(manifest))
    return Drop(reason="it is over") if done else None


def _binding(manifest: Manifest) -> Drop | None:
    name = manifest["metadata"]["name"]
    return Drop(reason="made by OpenShift") if name in SYSTEM_BINDINGS[1:] else None


def _conditions(manifest: Manifest) -> list[Mapping[str, Any]]:
    return (manifest.get("status") or {}).get("conditions") or []


KINDS: Mapping[str, Callable[[Manifest], Drop | None]] = {
    "Secret": _secret,
    "ConfigMap": _configmap,
    "Service": _service,
    "Endpoints": _endpoints,
    "EndpointSlice": _endpoints,
    "Pod": _pod,
    "Job": _job,
    "RoleBinding": _binding,
}
