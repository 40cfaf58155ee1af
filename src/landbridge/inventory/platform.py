"""What a cluster offers: nodes, room already taken, features (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from landbridge.model.inventory import Node
from landbridge.model.manifest import NONE, containers, labels_of, name_of, pod_spec, quantity, requests
from landbridge.model.service import Manifest

_ENFORCERS = ("calico-node", "canal", "cilium", "antrea-agent", "kube-router", "weave-net", "romana", "ovnkube-node")


def read_node(manifest: Manifest) -> Node:
    """A node's allocatable room in cores and bytes; an unschedulable one has none."""
    room = (manifest.get("status") or NONE).get("allocatable") or NONE
    closed = bool((manifest.get("spec") or NONE).get("unschedulable"))
    return Node(
        name=name_of(manifest),
        cpu=0.0 if closed else quantity(room.get("cpu")),
        memory=0 if closed else int(quantity(room.get("memory"))),
        pods=0 if closed else int(quantity(room.get("pods"))),
        labels=dict(labels_of(manifest)),
    )


def used(pods: Iterable[Manifest]) -> dict[str, float]:
    """What the pods that are not over take: cores, bytes, places."""
    cpu = memory = count = 0.0
    for pod in pods:
        if (pod.get("status") or NONE).get("phase") in {"Succeeded", "Failed"}:
            continue
        asked = requests(pod_spec(pod))
        cpu, memory, count = cpu + asked[0], memory + asked[1], count + 1
    return {"cpu": cpu, "memory": memory, "pods": count}


def find_features(served: Mapping[str, tuple[str, ...]], daemons: Sequence[Manifest]) -> tuple[str, ...]:
    """What the target can do, by the names that checks ask for."""
    found = {
        "metrics-api": "metrics.k8s.io/PodMetrics" in served,
        "gateway-api": "gateway.networking.k8s.io/HTTPRoute" in served,
        "trafficsplit-crd": "split.smi-spec.io/TrafficSplit" in served,
        "networkpolicy-enforced": any(_enforces(daemon) for daemon in daemons),
    }
    return tuple(sorted(name for name, there in found.items() if there))


def _enforces(daemon: Manifest) -> bool:
    """Whether a DaemonSet is a network plugin that enforces NetworkPolicies.

    The AWS plugin does only with its node agent and `--enable-network-policy=true`
    (https://docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html).
    """
    if name_of(daemon).startswith(_ENFORCERS):
        return True
    return any(
        "--enable-network-policy=true" in (container.get("args") or ()) for container in containers(pod_spec(daemon))
    )
