"""A live Kubernetes object as it should arrive on the target: dropped, stripped, transformed, in order.

The rules are those that Velero, crane and Karmada learned from their users, put together; `docs/copy.md` lists them.
"""

from __future__ import annotations

import copy
import fnmatch
import ipaddress

from landbridge.model.service import Manifest
from landbridge.translate.drop import dropped
from landbridge.translate.metadata import clean
from landbridge.translate.patches import apply_patch
from landbridge.translate.rules import Drop, Keep, Rules
from landbridge.translate.service import service
from landbridge.translate.workload import workload

ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "StorageClass",
    "PriorityClass",
    "IngressClass",
    "RuntimeClass",
    "ClusterRole",
    "ClusterRoleBinding",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "Service",
    "Endpoints",
    "EndpointSlice",
    "PodDisruptionBudget",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "HorizontalPodAutoscaler",
    "Ingress",
)
LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"})
ALB = "alb.ingress.kubernetes.io/"
ALB_TIED = ("subnets", "security-groups", "certificate-arn", "group.name", "load-balancer-name", "wafv2-acl-arn")
TOKEN_TYPE = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name


def order(kind: str) -> int:
    """Where a kind stands in the order of creation: names before users, policies before pods, webhooks last."""
    if kind in LAST:
        return 1000
    return ORDER.index(kind) * 10 if kind in ORDER else 900


def transform(original: Manifest, rules: Rules) -> Keep | Drop:
    """The object for the target, or why it is not copied. `original` is left as it is."""
    if drop := dropped(original):
        return drop
    manifest = copy.deepcopy(original)
    manifest.pop("status", None)
    notes = clean(manifest["metadata"], rules)
    kind = manifest["kind"]
    if kind in WORKLOADS:
        notes += workload(manifest, rules)
    elif kind == "Service":
        notes += service(manifest, original, rules)
    elif change := CHANGES.get(kind):
        notes += change(manifest, rules)
    for patch in rules.patches:
        if _matches(patch.kind, patch.namespace, patch.name, manifest):
            manifest = apply_patch(manifest, patch.operations)
            notes.append("changed by a patch of migration.yaml")
    return Keep(manifest=manifest, notes=tuple(notes))


def _matches(kind: str, namespace: str, name: str, manifest: Manifest) -> bool:
    meta = manifest["metadata"]
    return (
        kind == manifest["kind"]
        and fnmatch.fnmatchcase(meta["name"], name)
        and fnmatch.fnmatchcase(meta.get("namespace") or "", namespace)
    )


def _namespace(manifest: Manifest, _: Rules) -> list[str]:
    manifest.pop("spec", None)  # its finalizers are the namespace controller's
    (manifest["metadata"].get("labels") or {}).pop("kubernetes.io/metadata.name", None)
    if "iam.amazonaws.com/permitted" in (manifest["metadata"].get("annotations") or {}):
        return ["kiam's permission has no effect on the target: its pods need a role of their ServiceAccount"]
    return []


def _account(manifest: Manifest, _: Rules) -> list[str]:
    manifest.pop("secrets", None)
    if pulls := manifest.get("imagePullSecrets"):
        manifest["imagePullSecrets"] = [entry for entry in pulls if "-dockercfg-" not in entry.get("name", "")]
    if "eks.amazonaws.com/role-arn" in (manifest["metadata"].get("annotations") or {}):
        return ["its role must trust the target's OIDC provider"]
    return []


def _secret(manifest: Manifest, _: Rules) -> list[str]:
    if manifest.get("type") != TOKEN_TYPE:
        return []
    manifest.pop("data", None)
    (manifest["metadata"].get("annotations") or {}).pop("kubernetes.io/service-account.uid", None)
    return ["a hand-made token: whoever uses it outside (CI) needs the target's new one"]


def _ingress(manifest: Manifest, rules: Rules) -> list[str]:
    annotations = manifest["metadata"].get("annotations") or {}
    notes = []
    if name := annotations.pop("kubernetes.io/ingress.class", None):
        manifest["spec"].setdefault("ingressClassName", rules.ingress_class or name)
        notes.append("the annotation kubernetes.io/ingress.class became spec.ingressClassName")
    elif rules.ingress_class:
        manifest["spec"]["ingressClassName"] = rules.ingress_class
    tied = [key for key in annotations if key.startswith(ALB) and key.removeprefix(ALB) in ALB_TIED]
    for key in tied:
        del annotations[key]
    if tied:
        notes.append(f"left out, for they name the old load balancer's parts: {', '.join(sorted(tied))}")
    return notes


def _policy(manifest: Manifest, rules: Rules) -> list[str]:
    networks = [ipaddress.ip_network(network, strict=False) for network in rules.networks]
    blocks = []
    for direction in ("ingress", "egress"):
        for rule in (manifest.get("spec") or {}).get(direction) or ():
            for peer in (*(rule.get("from") or ()), *(rule.get("to") or ())):
                if cidr := (peer.get("ipBlock") or {}).get("cidr"):
                    block = ipaddress.ip_network(cidr, strict=False)
                    blocks += [cidr for net in networks if net.version == block.version and net.overlaps(block)]
    return [f"ipBlock {cidr} lies in the source's own network" for cidr in blocks]


def _webhooks(manifest: Manifest, _: Rules) -> list[str]:
    for hook in manifest.get("webhooks") or ():
        if hook.get("sideEffects") not in {"None", "NoneOnDryRun"}:
            hook["sideEffects"] = "None"
        (hook.get("clientConfig") or {}).pop("caBundle", None)
    return ["its CA bundle has to be put in again by whoever issues it on the target"]


def _crd(manifest: Manifest, _: Rules) -> list[str]:
    spec = manifest.get("spec") or {}
    if spec.pop("preserveUnknownFields", None):
        for version in spec.get("versions") or ():
            schema = version.get("schema", {}).get("openAPIV3Schema", {})
            schema["x-kubernetes-preserve-unknown-fields"] = True
    return []


CHANGES = {
    "Namespace": _namespace,
    "ServiceAccount": _account,
    "Secret": _secret,
    "Ingress": _ingress,
    "NetworkPolicy": _policy,
    "MutatingWebhookConfiguration": _webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
    "CustomResourceDefinition": _crd,
}
