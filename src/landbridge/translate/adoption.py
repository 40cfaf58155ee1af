"""Which Services can be adopted by a waypoint, and what adoption makes of one: pure, over plain dicts.

The rules are those of docs/connection.md#adoption; each refusal names one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from landbridge.model import exports
from landbridge.model.mirror import LONGEST
from landbridge.model.service import Manifest

LEAF_OF = "landbridge.dev/leaf-of"
STATE = "landbridge.dev/state"
MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "landbridge"
TRUSTED = "landbridge-trusted"
"""The headless Service of ours that selects who may choose a side by header; nobody calls it."""
EXPORTED = exports.EXPORTED
MIRRORED = exports.MIRRORED
EXPORT_MADE = "landbridge.dev/exported"  # on an apex whose export label is ours
PROTOCOLS = "landbridge.dev/protocols"
"""On apex and leaf, as JSON `{"80": "http"}`: what migration.yaml says of ports (by number or name) whose Service does
not. On the apex as well, for it is exported longer than its leaf lives, and the other cluster sees no leaf."""
PODS = "landbridge.dev/pods"
"""On a leaf: the pods behind it as policies see them (`translate.callers.written`), for the time when none runs."""
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"

_MESH_MARKS = (
    ("linkerd.io/inject", {"enabled", "ingress"}),
    ("istio-injection", {"enabled"}),
    ("kuma.io/sidecar-injection", {"enabled", "true"}),
    ("consul.hashicorp.com/connect-inject", {"true"}),
)
_TARGET_TYPES = {
    "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": {"ip"},
    "service.beta.kubernetes.io/aws-load-balancer-type": {"nlb-ip"},
    "alb.ingress.kubernetes.io/target-type": {"ip"},
}
_COPIED = (
    "ports",
    "sessionAffinity",
    "sessionAffinityConfig",
    "ipFamilies",
    "ipFamilyPolicy",
    "publishNotReadyAddresses",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAdoptable:
    """Why a Service cannot be adopted: the rule's name, what was seen, what to do instead."""

    rule: str
    message: str
    advice: str

    def __str__(self) -> str:
        return self.message


def leaf_name(service: str) -> str:
    """The Service that keeps the original pods."""
    return f"{service}-leaf"


def not_adoptable(
    service: Manifest,
    *,
    namespace: Manifest | None = None,
    neighbours: Iterable[Manifest] = (),
    zones: int = 1,
) -> NotAdoptable | None:
    """The first rule that forbids to adopt a Service, or None.

    `namespace` is its Namespace object, `neighbours` the objects beside it that matter (StatefulSets, Ingresses,
    TargetGroupBindings, Canaries, Rollouts of its namespace), `zones` how many zones the cluster's nodes are in.
    """
    spec = service.get("spec") or {}
    refusals = (
        _ours(service),
        _shape(service, spec),
        _ports(service, spec),
        _locality(service, spec, zones),
        _load_balancer(service),
        _name(service),
        _mesh(service, namespace),
        _owner(service, spec),
        *(_neighbour(service, neighbour) for neighbour in neighbours),
    )
    return next((refusal for refusal in refusals if refusal), None)


def not_linkable(service: Manifest, *, neighbours: Iterable[Manifest] = (), other: str = "") -> NotAdoptable | None:
    """The first rule that forbids to divide a Service by the mesh that it is in already, or None.

    Nothing is put into its path, so what only a waypoint could not do does not matter.
    """
    spec = service.get("spec") or {}
    long = f"{service['metadata']['name']}-{other}"  # Linkerd has no short form
    refusals = (
        _ours(service),
        _shape(service, spec),
        _ports(service, spec),
        _refuse("long-name", service, f"needs a mirror named {long}, of more than {LONGEST} characters", "shorten it")
        if len(long) > LONGEST
        else None,
        _owner(service, spec),
        *(_neighbour(service, item) for item in neighbours if item["kind"] in {"StatefulSet", "Canary", "Rollout"}),
    )
    return next((refusal for refusal in refusals if refusal), None)


def leaf(service: Manifest, *, state: str, protocols: Mapping[str, str] | None = None, pods: str = "") -> Manifest:
    """The leaf of a Service: its selector and ports, none of its labels, annotations, node ports or addresses.

    `protocols` says what ports speak that do not say it themselves, `pods` is what PODS says. Labels are not copied,
    for exports, monitors and owners (Helm, Argo CD) find Services by them.
    """
    meta, spec = service["metadata"], service["spec"]
    copied = {key: deepcopy(spec[key]) for key in _COPIED if key in spec}
    copied["ports"] = [{k: v for k, v in port.items() if k != "nodePort"} for port in copied["ports"]]
    if copied.get("ipFamilies") and not copied.get("ipFamilyPolicy"):
        copied["ipFamilyPolicy"] = "SingleStack"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": leaf_name(meta["name"]),
            "namespace": meta["namespace"],
            "labels": {MANAGED_BY: OURS, LEAF_OF: meta["name"]},
            "annotations": {STATE: state} | note_protocols(protocols or {}) | ({PODS: pods} if pods else {}),
        },
        "spec": {**copied, "type": "ClusterIP", "selector": dict(spec["selector"])},
    }


def note_protocols(protocols: Mapping[str, str]) -> dict[str, str]:
    """The annotation that tells agents what ports speak; none where nothing was stated."""
    return {PROTOCOLS: json.dumps(dict(protocols), sort_keys=True)} if protocols else {}


def adopted_pair(
    service: Manifest, protocols: Mapping[str, str] | None = None, pods: str = ""
) -> tuple[Manifest, Manifest]:
    """A Service that is created already adopted (its copy on the target), and its leaf."""
    born = leaf(service, state="adopted", protocols=protocols, pods=pods)
    apex = deepcopy(service)
    apex["spec"].pop("selector", None)
    marks = apex["metadata"]
    marks["labels"] = (marks.get("labels") or {}) | {SKIP_MIRROR: "true", EXPORTED: "true"}
    marks["annotations"] = (marks.get("annotations") or {}) | {EXPORT_MADE: "true"} | note_protocols(protocols or {})
    return apex, born


def _refuse(rule: str, service: Manifest, message: str, advice: str) -> NotAdoptable:
    meta = service["metadata"]
    return NotAdoptable(
        rule=rule, message=f"Service {meta.get('namespace', '')}/{meta['name']} {message}", advice=advice
    )


def _texts(manifest: Mapping[str, Any], part: str) -> Mapping[str, str]:
    return (manifest.get("metadata") or {}).get(part) or {}


def _ours(service: Manifest) -> NotAdoptable | None:
    labels = _texts(service, "labels")
    if LEAF_OF in labels or labels.get(MIRRORED) == "true":
        return _refuse("own", service, "is a leaf or a mirror", "name the Service that callers use")
    return None


def _shape(service: Manifest, spec: Mapping[str, Any]) -> NotAdoptable | None:
    edge = "move it by its edge router, or give callers a Service with a cluster address"
    if spec.get("type") == "ExternalName":
        return _refuse("external-name", service, "is only an alias (ExternalName)", "change the name it points to")
    if spec.get("clusterIP") == "None" or "None" in (spec.get("clusterIPs") or ()):
        return _refuse("headless", service, "is headless: its callers dial pods on the pods' own ports", edge)
    if not spec.get("selector"):
        return _refuse("no-selector", service, "has no selector: its endpoints are kept by somebody else", edge)
    return None


def _ports(service: Manifest, spec: Mapping[str, Any]) -> NotAdoptable | None:
    """All ports or none: a Service with one port that cannot pass a waypoint loses that port when it is adopted."""
    for port in spec.get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        if protocol != "TCP":
            advice = "split that port off into a Service of its own, which stays where it is until the end"
            return _refuse(protocol.lower(), service, f"has the {protocol} port {port['port']}", advice)
    return None


def _locality(service: Manifest, spec: Mapping[str, Any], zones: int) -> NotAdoptable | None:
    for field in ("internalTrafficPolicy", "externalTrafficPolicy"):
        if spec.get(field) == "Local":
            message = f"has {field}: Local: nodes without a waypoint would drop its traffic"
            return _refuse("local-policy", service, message, "set it to Cluster for the migration")
    modes = _texts(service, "annotations")
    mode = modes.get("service.kubernetes.io/topology-mode") or modes.get(
        "service.kubernetes.io/topology-aware-hints", ""
    )
    spread = spec.get("trafficDistribution") or (mode if mode.lower() not in {"", "disabled"} else "")
    if spread and zones > 1:
        message = f"keeps traffic near ({spread}) in a cluster of {zones} zones"
        return _refuse("topology", service, message, "drop that preference for the migration")
    return None


def _load_balancer(service: Manifest) -> NotAdoptable | None:
    found = _texts(service, "annotations")
    ip_targets = [key for key, values in _TARGET_TYPES.items() if found.get(key, "").lower() in values]
    if ip_targets or "cloud.google.com/neg" in found:
        message = f"is behind a load balancer that dials pods ({(ip_targets or ['cloud.google.com/neg'])[0]})"
        return _refuse("ip-target", service, message, "move it by that load balancer's router")
    return None


def _name(service: Manifest) -> NotAdoptable | None:
    name = service["metadata"]["name"]
    if len(leaf_name(name)) > LONGEST:
        message = f"needs a Service named {leaf_name(name)}, which has more than {LONGEST} characters"
        return _refuse("long-name", service, message, "give it a shorter name")
    return None


def _mesh(service: Manifest, namespace: Manifest | None) -> NotAdoptable | None:
    marks = {**_texts(namespace or {}, "labels"), **_texts(namespace or {}, "annotations")}
    meshed = [key for key, values in _MESH_MARKS if marks.get(key) in values]
    if meshed or "istio.io/rev" in marks:
        key = (meshed or ["istio.io/rev"])[0]
        message = f"is in a namespace with an injected mesh ({key})"
        return _refuse("mesh", service, message, "shift it by that mesh (settings: router)")
    return None


def _owner(service: Manifest, spec: Mapping[str, Any]) -> NotAdoptable | None:
    annotations, selector = _texts(service, "annotations"), spec.get("selector") or {}
    owners = (service["metadata"].get("ownerReferences")) or ()
    if "rollouts-pod-template-hash" in selector or "argo-rollouts.argoproj.io/managed-by-rollouts" in annotations:
        advice = "drive it through its Rollout, or finish the rollout and take it out for the migration"
        return _refuse("rollouts", service, "is switched by Argo Rollouts", advice)
    if any(owner.get("kind") == "Canary" for owner in owners):
        advice = "suspend the Canary and give the Service back to its workload for the migration"
        return _refuse("flagger", service, "is switched by Flagger", advice)
    return None


def _neighbour(service: Manifest, neighbour: Manifest) -> NotAdoptable | None:
    """What another object of the namespace makes of this Service."""
    if neighbour["metadata"].get("namespace") != service["metadata"].get("namespace"):
        return None
    name, spec = service["metadata"]["name"], neighbour.get("spec") or {}
    who = f"{neighbour['kind']} {neighbour['metadata']['name']}"
    match neighbour["kind"]:
        case "StatefulSet" if spec.get("serviceName") == name:
            advice = "give callers a second Service, or move it by its edge router"
            return _refuse("stateful-set", service, f"gives the pods of {who} their names", advice)
        case "TargetGroupBinding" if (spec.get("serviceRef") or {}).get("name") == name and spec.get(
            "targetType", "ip"
        ) == "ip":
            return _refuse("ip-target", service, f"is dialled pod by pod ({who})", "move it by that load balancer")
        case "Ingress" if _pod_targets(neighbour) and name in _backends(spec):
            return _refuse("ip-target", service, f"is dialled pod by pod ({who})", "move it by that load balancer")
        case "Canary" if name in _canary_names(neighbour, spec):
            return _refuse("flagger", service, f"is switched by Flagger ({who})", "suspend that Canary first")
        case "Rollout" if name in _rollout_names(spec):
            return _refuse("rollouts", service, f"is switched by Argo Rollouts ({who})", "finish that rollout first")
        case _:
            return None


def _pod_targets(ingress: Manifest) -> bool:
    return _texts(ingress, "annotations").get("alb.ingress.kubernetes.io/target-type", "").lower() == "ip"


def _backends(spec: Mapping[str, Any]) -> set[str]:
    paths: list[Mapping[str, Any]] = [
        path for rule in spec.get("rules") or () for path in (rule.get("http") or {}).get("paths") or ()
    ]
    backends = [path.get("backend") or {} for path in paths] + [spec.get("defaultBackend") or {}]
    return {str((backend.get("service") or {}).get("name", "")) for backend in backends}


def _canary_names(canary: Manifest, spec: Mapping[str, Any]) -> set[str]:
    name = str((spec.get("service") or {}).get("name") or (spec.get("targetRef") or {}).get("name") or "")
    name = name or str(canary["metadata"]["name"])
    return {name, f"{name}-primary", f"{name}-canary"}


def _rollout_names(spec: Mapping[str, Any]) -> Sequence[str]:
    strategy = spec.get("strategy") or {}
    canary, blue_green = strategy.get("canary") or {}, strategy.get("blueGreen") or {}
    keys = ("canaryService", "stableService", "activeService", "previewService")
    return [str(part[key]) for part in (canary, blue_green) for key in keys if part.get(key)]
