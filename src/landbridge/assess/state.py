"""State that lives in pods or on nodes and does not move with a manifest."""

from __future__ import annotations

from collections.abc import Iterator

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import NONE, subject

_PLAIN = frozenset({"name", "emptyDir", "configMap", "secret", "projected", "downwardAPI"})
_OTHERS = frozenset({"persistentVolumeClaim", "ephemeral", "hostPath"})


def _claims(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.workloads:
        names = [
            v["persistentVolumeClaim"]["claimName"] for v in spec.get("volumes") or () if "persistentVolumeClaim" in v
        ]
        names += [c["metadata"]["name"] for c in (item.get("spec") or NONE).get("volumeClaimTemplates") or ()]
        if names:
            yield Seen(subject(item), f"keeps data in the volume claims {', '.join(sorted(names))}")


def _host_paths(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.workloads:
        paths = [v["hostPath"].get("path", "?") for v in spec.get("volumes") or () if "hostPath" in v]
        if paths:
            yield Seen(subject(item), f"uses folders of its node: {', '.join(sorted(paths))}")


def _empty_dirs(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.running:
        names = [v["name"] for v in spec.get("volumes") or () if "emptyDir" in v]
        if names:
            yield Seen(subject(item), f"has scratch space ({', '.join(sorted(names))}) that each pod begins empty")


def _stateful_sets(facts: Facts) -> Iterator[Seen]:
    for item, _ in facts.running:
        if item["kind"] == "StatefulSet":
            yield Seen(subject(item), "is a StatefulSet: its pods have names and an order that somebody may rely on")


def _other_volumes(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.workloads:
        kinds = {key for v in spec.get("volumes") or () for key in v if key not in _PLAIN and key not in _OTHERS}
        if kinds:
            yield Seen(subject(item), f"mounts {', '.join(sorted(kinds))}: the target's nodes have to reach it too")


CHECKS = (
    Check(
        name="volume-claims",
        title="no data in persistent volumes",
        severity=Severity.BLOCKER,
        what="A workload that mounts a PersistentVolumeClaim, or has volumeClaimTemplates.",
        why="A claim copied to the target is a new, empty disk. Two sides that both serve would each have half of the "
        "data, and a rollback loses what was written on the target.",
        advice="move the data to a store that both sides share (RDS, S3, EFS), or skip the service and move it apart",
        find=_claims,
    ),
    Check(
        name="host-path",
        title="no folders of nodes",
        severity=Severity.WARNING,
        what="A pod that mounts a hostPath.",
        why="What is in that folder belongs to one node of the old cluster; on the target the folder is empty, or "
        "belongs to something else. Pod Security (baseline) refuses such pods.",
        advice="ship what it reads in the image or a ConfigMap; for sockets and logs see what the target offers",
        find=_host_paths,
    ),
    Check(
        name="empty-dir",
        title="no scratch space that somebody relies on",
        severity=Severity.NOTE,
        what="A pod with an emptyDir volume.",
        why="It is empty in every new pod. Uploads, sessions or caches in it are not on the other side, which shows "
        "only when requests of one user go to both.",
        advice="make sure that nothing in it has to outlive a pod",
        find=_empty_dirs,
    ),
    Check(
        name="stateful-set",
        title="no StatefulSets",
        severity=Severity.WARNING,
        what="A StatefulSet that moves.",
        why="During the migration `name-0` exists twice, once on each side. Databases and queues with peers found by "
        "name would form two clusters.",
        advice="accept it if its pods share nothing; else move it by its own replication and skip it here",
        find=_stateful_sets,
    ),
    Check(
        name="network-volumes",
        title="network volumes are reachable from the target",
        severity=Severity.WARNING,
        what="A pod with NFS, CSI, EBS or another volume that is not a claim.",
        why="Mounts hang where a security group knows only the old nodes: one team's pods on new nodes stayed in "
        "ContainerCreating while those on old nodes worked.",
        advice="mount it once from a pod on a node of the target, in every zone, before the first copy",
        find=_other_volumes,
    ),
)
