"""Metadata of a copy: what the old cluster, its controllers and its deployment tools wrote goes."""

from __future__ import annotations

from typing import Any

from landbridge.translate.rules import Rules

SERVER_SET = (
    "uid",
    "resourceVersion",
    "selfLink",
    "creationTimestamp",
    "generation",
    "managedFields",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "generateName",
)
ANNOTATIONS = (
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/",
    "meta.helm.sh/",
    "autoscaling.alpha.kubernetes.io/",
    "endpoints.kubernetes.io/",
    "control-plane.alpha.kubernetes.io/",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "velero.io/",
    "migration.openshift.io/",
    "openshift.io/sa.scc.",
    "landbridge.dev/",
)
GITOPS = (
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "kapp.k14s.io/",
)
LABELS = (
    "velero.io/",
    "migration.openshift.io/",
    "mirror.linkerd.io/",
    "endpointslice.kubernetes.io/skip-mirror",
    "landbridge.dev/",
    *GITOPS,
)


def clean(meta: dict[str, Any], rules: Rules) -> list[str]:
    """Strip `meta` in place; the notes say what a person should know."""
    notes: list[str] = []
    for key in SERVER_SET:
        meta.pop(key, None)
    kept = [finalizer for finalizer in meta.pop("finalizers", None) or () if finalizer in rules.finalizers]
    if kept:
        meta["finalizers"] = kept
    annotations, labels = meta.get("annotations") or {}, meta.get("labels") or {}
    if any(key.startswith(GITOPS) for key in (*annotations, *labels)):
        notes.append("a GitOps controller owns the original: point its repository at the target as well")
    _filter(meta, "annotations", (*ANNOTATIONS, *GITOPS))
    _filter(meta, "labels", LABELS)
    if (meta.get("labels") or {}).get("app.kubernetes.io/managed-by") == "Helm":
        del meta["labels"]["app.kubernetes.io/managed-by"]
        _drop_empty(meta, "labels")
    return notes


def _filter(meta: dict[str, Any], key: str, prefixes: tuple[str, ...]) -> None:
    if found := meta.get(key):
        meta[key] = {name: value for name, value in found.items() if not name.startswith(prefixes)}
    _drop_empty(meta, key)


def _drop_empty(meta: dict[str, Any], key: str) -> None:
    if key in meta and not meta[key]:
        del meta[key]
