"""Whether workloads can be copied, started and replaced without losing requests."""

from __future__ import annotations

from collections.abc import Iterator

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import NONE, containers, is_owned, subject

_CONTROLLERS = frozenset({"ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Node"})


def _readiness(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.running:
        if subject(item) not in facts.behind:
            continue
        if not any("readinessProbe" in container for container in containers(spec, init=False)):
            yield Seen(subject(item), "has no readiness probe: its pods get requests before they can answer")


def _single(facts: Facts) -> Iterator[Seen]:
    for item, _ in facts.running:
        wanted = (item.get("spec") or NONE).get("replicas", 1)
        if wanted == 1 and item["kind"] != "DaemonSet" and subject(item) in facts.behind:
            yield Seen(subject(item), "has one replica: whatever stops it stops the service")


def _ready(facts: Facts) -> Iterator[Seen]:
    for item, _ in facts.running:
        if item["kind"] == "DaemonSet" or not item.get("status"):
            continue
        wanted, ready = (item.get("spec") or NONE).get("replicas", 1), item["status"].get("readyReplicas") or 0
        if wanted and ready < wanted:
            yield Seen(subject(item), f"has {ready} of {wanted} replicas ready on the source")


def _bare(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("Pod"):
        mirrored = "kubernetes.io/config.mirror" in (item["metadata"].get("annotations") or NONE)
        over = (item.get("status") or NONE).get("phase") in {"Succeeded", "Failed"}
        if not is_owned(item) and not mirrored and not over:
            yield Seen(subject(item), "is a bare pod: no controller would start it again, and it is not copied")


def _operated(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("Deployment", "StatefulSet", "DaemonSet", "CronJob"):
        for owner in item["metadata"].get("ownerReferences") or ():
            if owner.get("controller") and owner["kind"] not in _CONTROLLERS:
                who = f"{owner['kind']} {owner['name']}"
                yield Seen(subject(item), f"is made by the operator of {who}: the copy of that makes it on the target")


def _deleted(facts: Facts) -> Iterator[Seen]:
    for item in facts.inventory.source.objects:
        if "deletionTimestamp" in item["metadata"] and item["kind"] != "Pod":
            yield Seen(subject(item), "is being deleted and is not copied")


def _floating(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.workloads:
        for image in sorted({str(container.get("image", "")) for container in containers(spec)}):
            tag = image.rpartition("/")[2].partition(":")[2]
            if "@" not in image and tag in {"", "latest"}:
                yield Seen(subject(item), f"runs {image}, which may be another program tomorrow")


def _host(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.workloads:
        shared = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
        ports = [port for c in containers(spec) for port in c.get("ports") or () if port.get("hostPort")]
        if ports and not spec.get("hostNetwork"):
            shared.append("hostPort " + ", ".join(str(port["hostPort"]) for port in ports))
        if shared:
            yield Seen(subject(item), f"uses its node's own {', '.join(shared)}")


def _empty(facts: Facts) -> Iterator[Seen]:
    for service, item in facts.services:
        if not service.workloads and service.selector and service.id not in facts.refusals:
            made = service.id in facts.answered
            seen = "pods that something else than a workload of ours makes" if made else "no pods"
            yield Seen(subject(item), f"selects {seen}: its traffic stays on the source")


CHECKS = (
    Check(
        name="service-pods",
        title="services have workloads behind them",
        severity=Severity.WARNING,
        what="A Service whose selector fits no workload of its namespace.",
        why="There is nothing to copy for it. Pods that an operator makes are made by the operator's copy on the "
        "target, which is not known before it runs there.",
        advice="delete the Service if it is left over; move what an operator runs by hand, or after its operator",
        find=_empty,
    ),
    Check(
        name="readiness-probe",
        title="pods behind services say when they are ready",
        severity=Severity.WARNING,
        what="A workload behind a Service none of whose containers has a readinessProbe.",
        why="Without a probe a pod counts as ready when its process has started. The weight rises onto pods that still "
        "load; an Application Load Balancer sends a target group without a working target its share all the same.",
        advice="add a readinessProbe that answers only when requests would succeed",
        find=_readiness,
    ),
    Check(
        name="single-replica",
        title="services have more than one replica",
        severity=Severity.WARNING,
        what="A workload behind a Service with one replica.",
        why="A deploy, a node drain or a crash during the migration is an outage, and the judge cannot tell it from a "
        "fault of the new side.",
        advice="run two, or accept this with the reason",
        find=_single,
    ),
    Check(
        name="source-ready",
        title="the source is healthy before anything moves",
        severity=Severity.WARNING,
        what="A workload with fewer ready replicas on the source than it wants.",
        why="A rollback needs the source at full size, and a control arm that fails makes every comparison worthless.",
        advice="mend it on the source first",
        find=_ready,
    ),
    Check(
        name="bare-pod",
        title="every pod has a controller",
        severity=Severity.WARNING,
        what="A pod that no controller made.",
        why="It would run once, on one node, until that node goes; copied while it runs it would run twice.",
        advice="give it a Deployment or a Job, or start it by hand on the target",
        find=_bare,
    ),
    Check(
        name="operator",
        title="workloads are not made by operators",
        severity=Severity.WARNING,
        what="A workload whose owner is a custom resource.",
        why="Its operator makes it, and makes it again. A copy beside the operator's own is taken for drift, or run "
        "twice.",
        advice="install the operator on the target; its custom resource is copied, the workload is not",
        find=_operated,
    ),
    Check(
        name="being-deleted",
        title="nothing is being deleted",
        severity=Severity.WARNING,
        what="An object with a deletionTimestamp.",
        why="It waits for a finalizer; copying it would bring back what somebody took away.",
        advice="let the deletion end, or remove the finalizer that blocks it, then take the inventory again",
        find=_deleted,
    ),
    Check(
        name="floating-image",
        title="images have fixed versions",
        severity=Severity.WARNING,
        what="An image without a tag, or with `latest`.",
        why="The target pulls what the tag means today, the source runs what it meant when the pod started. The judge "
        "then compares two programs, not two platforms.",
        advice="pin the tag or the digest; the copy pins what runs now where it can be read",
        find=_floating,
    ),
    Check(
        name="host-namespace",
        title="pods do not use their node's network or processes",
        severity=Severity.WARNING,
        what="hostNetwork, hostPID, hostIPC or a hostPort.",
        why="Ports of nodes may be taken on the target and firewalls know the old nodes. Pod Security (baseline) "
        "refuses such pods.",
        advice="use a Service, or check ports, firewalls and the namespace's Pod Security level on the target",
        find=_host,
    ),
)
