"""Reading plain manifests: labels, pod templates, containers, quantities, selectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from landbridge.model.service import Manifest, ObjectRef

Fields = Mapping[str, Any]
NONE: Fields = {}

_SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIXES |= {f"{letter}i": 1024.0 ** (power + 1) for power, letter in enumerate("KMGTPE")}

RUNNING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Rollout"})
"""Kinds that keep pods running."""
STARTING = frozenset({"CronJob", "Job"})
"""Kinds whose pods end."""


_GROUPS: dict[str, tuple[str, ...]] = {}
_GROUPS |= dict.fromkeys(("ConfigMap", "Namespace", "Pod", "Secret", "Service", "ServiceAccount"), ("",))
_GROUPS |= dict.fromkeys(("PersistentVolumeClaim", "ResourceQuota", "ReplicationController"), ("",))
_GROUPS |= dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), ("apps", "extensions"))
_GROUPS |= dict.fromkeys(("Ingress", "IngressClass", "NetworkPolicy"), ("networking.k8s.io", "extensions"))
_GROUPS |= dict.fromkeys(("ClusterRole", "ClusterRoleBinding", "Role"), ("rbac.authorization.k8s.io",))
_GROUPS |= {"CronJob": ("batch",), "Job": ("batch",), "HorizontalPodAutoscaler": ("autoscaling",)}
_GROUPS |= {"EndpointSlice": ("discovery.k8s.io",), "Rollout": ("argoproj.io",), "Canary": ("flagger.app",)}


def kind_of(manifest: Fields) -> str:
    """The kind of an object; `Service.serving.knative.dev` where another API has borrowed a well-known name."""
    return _kind(manifest["apiVersion"], manifest["kind"])


@lru_cache(maxsize=4096)
def _kind(api_version: str, kind: str) -> str:
    groups = _GROUPS.get(kind)
    if groups is None:
        return kind
    group = api_version.rpartition("/")[0]
    return kind if group in groups else f"{kind}.{group}"


def labels_of(manifest: Fields) -> Mapping[str, str]:
    """The labels of an object."""
    return manifest["metadata"].get("labels") or NONE


def annotations_of(manifest: Fields) -> Mapping[str, str]:
    """The annotations of an object."""
    return manifest["metadata"].get("annotations") or NONE


def name_of(manifest: Fields) -> str:
    """The name of an object."""
    return str(manifest["metadata"]["name"])


def namespace_of(manifest: Fields) -> str:
    """The namespace of an object, empty for cluster-scoped ones."""
    return manifest["metadata"].get("namespace") or ""


def subject(manifest: Fields) -> str:
    """An object as findings name it: `Deployment shop/web`."""
    meta = manifest["metadata"]
    place = meta.get("namespace")
    return f"{manifest['kind']} {place}/{meta['name']}" if place else f"{manifest['kind']} {meta['name']}"


def text_of(ref: ObjectRef) -> str:
    """A reference as plans write it: `apps/v1 Deployment shop web`, `-` where there is no namespace."""
    return f"{ref.api_version} {ref.kind} {ref.namespace or '-'} {ref.name}"


def ref_of(text: str) -> ObjectRef:
    """The reference that such a text says; ValueError otherwise."""
    parts = text.split()
    if len(parts) != 4:
        raise ValueError(f"{text!r} is not `apiVersion Kind namespace name`")
    return ObjectRef(parts[0], parts[1], "" if parts[2] == "-" else parts[2], parts[3])


def pod_template(manifest: Manifest) -> Fields:
    """The pod template of a workload (the pod itself for a Pod); empty for other kinds."""
    kind = kind_of(manifest)
    if kind == "Pod":
        return manifest
    spec = manifest.get("spec") or NONE
    if kind == "CronJob":
        spec = (spec.get("jobTemplate") or NONE).get("spec") or NONE
    if kind in RUNNING or kind in STARTING:
        return spec.get("template") or NONE
    return NONE


def pod_spec(manifest: Manifest) -> Fields:
    """The pod spec of a workload; empty for other kinds."""
    return pod_template(manifest).get("spec") or NONE


def containers(spec: Fields, *, init: bool = True) -> Sequence[Fields]:
    """The containers of a pod spec."""
    found: Sequence[Fields] = spec.get("containers") or ()
    first = spec.get("initContainers") if init else None
    return (*found, *first) if first else found


def is_owned(manifest: Fields) -> bool:
    """Whether a controller made this object."""
    return any(owner.get("controller") for owner in manifest["metadata"].get("ownerReferences") or ())


def quantity(value: Any) -> float:
    """A quantity of Kubernetes as a number: `500m` is 0.5, `1Gi` 1073741824; 0 where it cannot be read."""
    text = str(value if value is not None else "").strip()
    for end in (2, 1):
        if text[-end:] in _SUFFIXES:
            return _number(text[:-end]) * _SUFFIXES[text[-end:]]
    return _number(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def requests(spec: Fields) -> tuple[float, float]:
    """Cores and bytes that a pod asks for: the sum of its containers, or its largest init container."""
    cpu = memory = 0.0
    for container in containers(spec, init=False):
        asked = (container.get("resources") or NONE).get("requests") or NONE
        cpu, memory = cpu + quantity(asked.get("cpu")), memory + quantity(asked.get("memory"))
    for container in spec.get("initContainers") or ():
        asked = (container.get("resources") or NONE).get("requests") or NONE
        cpu, memory = max(cpu, quantity(asked.get("cpu"))), max(memory, quantity(asked.get("memory")))
    return cpu, memory


def matches(selector: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether labels satisfy a Service's selector; an empty selector matches nothing."""
    return bool(selector) and all(found.get(key) == value for key, value in selector.items())


def selects(selector: Fields | None, found: Mapping[str, str]) -> bool:
    """Whether labels satisfy a LabelSelector; an empty one matches all, None nothing."""
    if selector is None:
        return False
    plain = selector.get("matchLabels") or NONE
    if any(found.get(key) != value for key, value in plain.items()):
        return False
    return all(_holds(rule, found) for rule in selector.get("matchExpressions") or ())


def _holds(rule: Fields, found: Mapping[str, str]) -> bool:
    value, values = found.get(rule["key"]), rule.get("values") or ()
    match rule.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
