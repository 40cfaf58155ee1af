"""What the target has to offer by name: classes, labels of nodes, levels of Pod Security, quotas."""

from __future__ import annotations

from collections.abc import Iterator

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import (
    NONE,
    Fields,
    annotations_of,
    containers,
    labels_of,
    name_of,
    namespace_of,
    quantity,
    requests,
    subject,
)

BUILT_IN = frozenset({"system-cluster-critical", "system-node-critical"})
_BASELINE_CAPABILITIES = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"}
    | {"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
ENFORCE = "pod-security.kubernetes.io/enforce"


def _storage(facts: Facts) -> Iterator[Seen]:
    there = {name_of(item) for item in facts.there.get("StorageClass", ())}
    for item in facts.each("PersistentVolumeClaim"):
        name = item["spec"].get("storageClassName")
        if name and name not in there:
            yield Seen(subject(item), f"wants the StorageClass {name}{_offer(there)}")


def _ingress(facts: Facts) -> Iterator[Seen]:
    there = {name_of(item) for item in facts.there.get("IngressClass", ())}
    for item in facts.each("Ingress"):
        name = item["spec"].get("ingressClassName") or annotations_of(item).get("kubernetes.io/ingress.class")
        if name and name not in there:
            yield Seen(subject(item), f"wants the IngressClass {name}{_offer(there)}")


def _offer(names: set[str]) -> str:
    return f"; the target has {', '.join(sorted(names))}" if names else "; the target has none"


def _priority(facts: Facts) -> Iterator[Seen]:
    there = {name_of(item) for item in facts.there.get("PriorityClass", ())} | BUILT_IN
    for item, spec in facts.workloads:
        name = spec.get("priorityClassName")
        if name and name not in there:
            yield Seen(subject(item), f"wants the PriorityClass {name}, which the target does not have")


def _runtime(facts: Facts) -> Iterator[Seen]:
    there = {name_of(item) for item in facts.there.get("RuntimeClass", ())}
    for item, spec in facts.workloads:
        name = spec.get("runtimeClassName")
        if name and name not in there:
            yield Seen(subject(item), f"wants the RuntimeClass {name}, which the target does not have")


def _nodes(facts: Facts) -> Iterator[Seen]:
    nodes = facts.inventory.target.nodes
    for item, spec in facts.workloads:
        wanted = spec.get("nodeSelector") or NONE
        if wanted and nodes and not any(wanted.items() <= node.labels.items() for node in nodes):
            which = ", ".join(f"{key}={value}" for key, value in sorted(wanted.items()))
            yield Seen(subject(item), f"runs only on nodes with {which}; the target has none")


def _security(facts: Facts) -> Iterator[Seen]:
    levels = {
        name_of(item): labels_of(item).get(ENFORCE, "")
        for item in (*facts.each("Namespace"), *facts.there.get("Namespace", ()))
    }
    for item, spec in facts.workloads:
        level = levels.get(namespace_of(item), "")
        broken = sorted(_violations(spec, level)) if level in {"baseline", "restricted"} else []
        if broken:
            yield Seen(subject(item), f"breaks Pod Security {level!r} of its namespace: {', '.join(broken)}")


def _violations(spec: Fields, level: str) -> Iterator[str]:
    """What the levels of https://kubernetes.io/docs/concepts/security/pod-security-standards/ forbid in a pod."""
    yield from (field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field))
    if any("hostPath" in volume for volume in spec.get("volumes") or ()):
        yield "hostPath"
    pod = spec.get("securityContext") or NONE
    for container in containers(spec):
        own = container.get("securityContext") or NONE
        added = set((own.get("capabilities") or NONE).get("add") or ())
        if own.get("privileged"):
            yield "privileged"
        if added - _BASELINE_CAPABILITIES:
            yield f"capabilities {', '.join(sorted(added - _BASELINE_CAPABILITIES))}"
        if any(port.get("hostPort") for port in container.get("ports") or ()):
            yield "hostPort"
        if level == "restricted":
            yield from _restricted(own, pod)


def _restricted(own: Fields, pod: Fields) -> Iterator[str]:
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if not (own.get("runAsNonRoot") or (own.get("runAsNonRoot") is None and pod.get("runAsNonRoot"))):
        yield "runAsNonRoot is not true"
    if "ALL" not in ((own.get("capabilities") or NONE).get("drop") or ()):
        yield "capabilities are not all dropped"
    profile = (own.get("seccompProfile") or pod.get("seccompProfile") or NONE).get("type")
    if profile not in {"RuntimeDefault", "Localhost"}:
        yield "no seccompProfile"


def _quota(facts: Facts) -> Iterator[Seen]:
    quotas = [*facts.each("ResourceQuota"), *facts.there.get("ResourceQuota", ())]
    spaces = {namespace_of(item) for item in quotas}
    wanted = {space: _wanted(facts, space) for space in spaces}
    for item in quotas:
        hard = (item.get("spec") or NONE).get("hard") or NONE
        here = wanted[namespace_of(item)]
        short = [
            f"{name} {quantity(hard[name]):g} < {here[kind]:g}"
            for name, kind in (
                ("requests.cpu", "cpu"),
                ("cpu", "cpu"),
                ("requests.memory", "memory"),
                ("memory", "memory"),
                ("pods", "pods"),
            )
            if name in hard and quantity(hard[name]) < here[kind]
        ]
        if short:
            yield Seen(subject(item), f"has no room for the copies: {'; '.join(short)}")


def _wanted(facts: Facts, namespace: str) -> dict[str, float]:
    """Room that a namespace's copies and two waypoint pods need."""
    total = {"cpu": 0.0, "memory": 0.0, "pods": float(facts.migration.data_plane.waypoints)}
    for item, spec in facts.running:
        if namespace_of(item) == namespace and item["kind"] != "DaemonSet":
            count = (item.get("spec") or NONE).get("replicas", 1)
            cpu, memory = requests(spec)
            total = {
                "cpu": total["cpu"] + cpu * count,
                "memory": total["memory"] + memory * count,
                "pods": total["pods"] + count,
            }
    return total


CHECKS = (
    Check(
        name="storage-class",
        title="the target has the storage classes in use",
        severity=Severity.WARNING,
        what="A PersistentVolumeClaim of a StorageClass that the target does not have.",
        why="Its pods stay Pending. Classes are named by each cluster's own taste: `gp2` on kOps, `gp3` on EKS.",
        advice="make a class of that name on the target, or change the name by a patch in migration.yaml",
        find=_storage,
    ),
    Check(
        name="ingress-class",
        title="the target has the ingress classes in use",
        severity=Severity.WARNING,
        what="An Ingress of a class that the target does not have.",
        why="No controller takes it: it gets no address and says nothing.",
        advice="install the controller, or change the class by a patch in migration.yaml",
        find=_ingress,
    ),
    Check(
        name="priority-class",
        title="the target has the priority classes in use",
        severity=Severity.BLOCKER,
        what="A pod template with a priorityClassName that the target does not have.",
        why="The API server refuses such pods; the Deployment exists and has none.",
        advice="create the PriorityClass on the target",
        find=_priority,
    ),
    Check(
        name="runtime-class",
        title="the target has the runtime classes in use",
        severity=Severity.BLOCKER,
        what="A pod template with a runtimeClassName that the target does not have.",
        why="The API server refuses such pods; the Deployment exists and has none.",
        advice="create the RuntimeClass on the target and install its runtime on the nodes",
        find=_runtime,
    ),
    Check(
        name="node-selector",
        title="nodes of the target fit the pods' selectors",
        severity=Severity.BLOCKER,
        what="A nodeSelector that no node of the target satisfies.",
        why="Its pods stay Pending. Labels of instance groups (`kops.k8s.io/instancegroup`) do not exist elsewhere.",
        advice="label nodes of the target so, or drop the selector by a patch in migration.yaml",
        find=_nodes,
    ),
    Check(
        name="pod-security",
        title="Pod Security admits the pods",
        severity=Severity.BLOCKER,
        what="A pod template that breaks the level its namespace enforces, here or on the target.",
        why="The source may run such pods from before the label was set; new ones, as every copy is, are refused.",
        advice="mend the pod template, or set the namespace's level on the target",
        find=_security,
    ),
    Check(
        name="quota",
        title="quotas have room for the copies",
        severity=Severity.BLOCKER,
        what="A ResourceQuota, copied or on the target already, smaller than what the copies ask for.",
        why="Pods beyond the quota are refused one by one, at the moment when the service grows for its traffic. The "
        "waypoint's pods count too.",
        advice="raise the quota on the target",
        find=_quota,
    ),
)
