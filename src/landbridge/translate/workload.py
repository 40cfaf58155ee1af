"""Pod templates on the target: images mapped and pinned, what the old cluster injected left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from landbridge.model.service import Manifest
from landbridge.translate.rules import Rules

IDEMPOTENT = "landbridge.dev/job-idempotent"
JOB_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")


def template_of(manifest: Manifest) -> dict[str, Any] | None:
    """The pod template inside a workload, or None."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    template = spec.get("template")
    return template if isinstance(template, dict) and "spec" in template else None


def containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a pod's spec: init, ordinary and ephemeral."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(key) or ()


def workload(manifest: Manifest, rules: Rules) -> list[str]:
    """Change a workload in place."""
    template = template_of(manifest)
    notes = _pod(template["spec"], rules) if template else []
    if template:
        (template.get("metadata") or {}).pop("creationTimestamp", None)
    if manifest["kind"] == "Job":
        notes += _job(manifest)
    elif manifest["kind"] == "CronJob":
        notes += _cronjob(manifest)
    return notes


def _pod(pod: dict[str, Any], rules: Rules) -> list[str]:
    notes = []
    for key in ("nodeName", "priority"):
        pod.pop(key, None)
    injected = {v["name"] for v in pod.get("volumes") or () if _injected(v["name"], pod)}
    if injected:
        pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] not in injected]
    if secrets := pod.get("imagePullSecrets"):
        pod["imagePullSecrets"] = [entry for entry in secrets if "-dockercfg-" not in entry.get("name", "")]
    for container in containers(pod):
        if injected and container.get("volumeMounts"):
            mounts = container["volumeMounts"]
            container["volumeMounts"] = [mount for mount in mounts if mount["name"] not in injected]
        image = container.get("image", "")
        container["image"] = mapped(image, rules)
        if "iam.amazonaws.com" in str(container.get("env") or ""):
            notes.append(f"container {container['name']} names an instance role: give its ServiceAccount a role")
    return notes


def _injected(volume: str, pod: dict[str, Any]) -> bool:
    account = pod.get("serviceAccountName") or "default"
    return volume.startswith((f"{account}-token-", "kube-api-access-"))


def mapped(image: str, rules: Rules) -> str:
    """The image's name on the target: the longest prefix that is mapped, pinned to the digest that runs now."""
    digest = rules.digests.get(image, "")
    for prefix in sorted(rules.images, key=len, reverse=True):
        if image.startswith(prefix):
            image = rules.images[prefix] + image[len(prefix) :]
            break
    return image if not digest or "@" in image else f"{image}@{digest}"


def _job(manifest: Manifest) -> list[str]:
    spec = manifest["spec"]
    if not spec.get("manualSelector"):
        spec.pop("selector", None)
        labels = spec.get("template", {}).get("metadata", {}).get("labels") or {}
        for key in JOB_LABELS:
            labels.pop(key, None)
    if (manifest["metadata"].get("annotations") or {}).get(IDEMPOTENT) == "true":
        return []
    spec["suspend"] = True
    return ["arrives suspended: it may have done its work already; say landbridge.dev/job-idempotent to let it run"]


def _cronjob(manifest: Manifest) -> list[str]:
    spec = manifest["spec"]
    inner = spec.get("jobTemplate", {}).get("spec", {}).get("template", {}).get("metadata", {}).get("labels") or {}
    for key in JOB_LABELS:
        inner.pop(key, None)
    if spec.get("suspend"):
        return ["was suspended on the source and stays so"]
    spec["suspend"] = True
    return ["arrives suspended; it is opened when the source's schedule has been handed over"]
