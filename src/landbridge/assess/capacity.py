"""Room on the target for everything twice: cores, memory, pods, autoscalers, connections."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.laws.budget import Pool, Room, Store, budget
from landbridge.model.inventory import Severity
from landbridge.model.manifest import NONE, Fields, containers, name_of, namespace_of, quantity, requests, subject
from landbridge.model.service import Manifest, ServiceId, Side

GIB = 1024.0**3
AGENT_CPU, OWN_MEMORY = 0.02, 2 * 64 * 1024.0**2
"""What a waypoint's agent requests beside Envoy, in cores, and what both do, in bytes (connect/pods.py)."""


def _cluster(facts: Facts) -> Iterator[Seen]:
    target = facts.inventory.target
    if not target.nodes:
        yield Seen(f"Cluster {target.name}", "has no nodes: nothing that is copied will run")
        return
    used: Mapping[str, float] = facts.inventory.extra.get("used") or {}
    cpu, memory, pods = _needed(facts)
    for what, need, offered, taken, unit in (
        ("cores", cpu, sum(n.cpu for n in target.nodes), used.get("cpu", 0.0), 1.0),
        ("GiB of memory", memory, sum(n.memory for n in target.nodes), used.get("memory", 0.0), GIB),
        ("pods", pods, sum(n.pods for n in target.nodes), used.get("pods", 0.0), 1.0),
    ):
        free = offered - taken
        if need > free:
            short = (need - free) / unit
            message = (
                f"has {max(0.0, free) / unit:.3g} {what} free; the copies ask for {need / unit:.3g} ({short:.2g} short)"
            )
            yield Seen(f"Cluster {target.name}", message)


def _needed(facts: Facts) -> tuple[float, float, float]:
    """Cores, bytes and pods of every copy that is not on the target yet, and of the waypoints and gateways."""
    plane = facts.migration.data_plane
    waypoints = plane.waypoints * len(facts.migration.namespaces)
    pods = float(plane.gateways + waypoints)
    cpu = pods * quantity(plane.cpu) + plane.gateways * quantity(plane.gateway_cpu) + waypoints * AGENT_CPU
    memory = pods * OWN_MEMORY
    for item, spec in facts.running:
        if item["kind"] == "DaemonSet" or (item["kind"], namespace_of(item), name_of(item)) in facts.names_there:
            continue
        count, asked = size(item), requests(spec)
        cpu, memory, pods = cpu + asked[0] * count, memory + asked[1] * count, pods + count
    return cpu, memory, pods


def size(item: Manifest) -> int:
    """How many pods a workload wants."""
    wanted = (item.get("spec") or NONE).get("replicas")
    return 1 if wanted is None else int(wanted)


def _largest(facts: Facts) -> Iterator[Seen]:
    nodes = facts.inventory.target.nodes
    for item, spec in facts.workloads if nodes else ():
        cpu, memory = requests(spec)
        if not any(node.cpu >= cpu and node.memory >= memory for node in nodes):
            yield Seen(subject(item), f"asks for {cpu:g} cores and {memory / GIB:.2g} GiB, more than any node has")


def _unstated(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.running:
        if any(not _states(container) for container in containers(spec, init=False)):
            yield Seen(subject(item), "does not say how much it needs (requests of cpu and memory)")


def _states(container: Fields) -> bool:
    asked = (container.get("resources") or NONE).get("requests") or NONE
    return "cpu" in asked and "memory" in asked


def _scalers(facts: Facts) -> Iterator[tuple[Manifest, Manifest, Fields]]:
    """Each autoscaler with its workload and that one's pod spec."""
    targets = {(item["kind"], namespace_of(item), name_of(item)): (item, spec) for item, spec in facts.running}
    for scaler in facts.each("HorizontalPodAutoscaler"):
        ref = scaler["spec"].get("scaleTargetRef") or NONE
        found = targets.get((ref.get("kind", ""), namespace_of(scaler), ref.get("name", "")))
        if found:
            yield scaler, found[0], found[1]


def _limits(facts: Facts) -> Iterator[Seen]:
    for scaler, item, _ in _scalers(facts):
        most, now = scaler["spec"].get("maxReplicas", 0), size(item)
        if now >= most:
            yield Seen(subject(scaler), f"is at its limit: {now} of at most {most} replicas of {subject(item)}")


def _blind(facts: Facts) -> Iterator[Seen]:
    for scaler, item, spec in _scalers(facts):
        measured = {
            (metric.get("resource") or NONE).get("name")
            for metric in scaler["spec"].get("metrics") or ()
            if metric.get("type") == "Resource"
            and ((metric.get("resource") or NONE).get("target") or NONE).get("type", "Utilization") == "Utilization"
        }
        for container in containers(spec, init=False):
            missing = measured - set((container.get("resources") or NONE).get("requests") or ()) - {None}
            if missing:
                which = f"{', '.join(sorted(map(str, missing)))} of container {container.get('name')}"
                yield Seen(subject(scaler), f"cannot measure {subject(item)}: no request of {which}")
                break


def _metrics(facts: Facts) -> Iterator[Seen]:
    if "metrics-api" in facts.inventory.target.features:
        return
    for scaler, _, _ in _scalers(facts):
        yield Seen(subject(scaler), "can measure nothing on the target: there is no metrics API (metrics.k8s.io)")


def _connections(facts: Facts) -> Iterator[Seen]:
    pools: dict[str, list[Pool]] = defaultdict(list)
    sizes = {(item["kind"], namespace_of(item), name_of(item)): item for item, _ in facts.running}
    for service in facts.inventory.services:
        for store, connections in facts.migration.service(service.id).pools.items():
            behind = [sizes[key] for ref in service.workloads if (key := (ref.kind, ref.namespace, ref.name)) in sizes]
            for item in behind:
                pools[store] += _pools(service.id, connections, item)
    for name, found in sorted(pools.items()):
        stated = facts.migration.stores.get(name)
        if stated is None:
            yield Seen(
                f"Store {name}", "is used by pools in migration.yaml, but `stores` does not say how much it takes"
            )
            continue
        room = budget(Store(name=name, limit=stated.max_connections, other=stated.used_by_others), found)
        if room.room is not Room.OK:
            severity = Severity.BLOCKER if room.room is Room.BLOCK else Severity.WARNING
            most = ", ".join(f"{service} {count}" for service, count in room.by_service[:3])
            message = f"takes {room.usable} connections, and both sides need {room.needed} (most: {most})"
            yield Seen(f"Store {name}", message, severity=severity)


def _pools(service: ServiceId, connections: int, item: Manifest) -> list[Pool]:
    count = size(item)
    stated = (((item.get("spec") or NONE).get("strategy") or NONE).get("rollingUpdate") or NONE).get("maxSurge", "25%")
    surge = (
        math.ceil(count * int(stated[:-1]) / 100) if isinstance(stated, str) and stated.endswith("%") else int(stated)
    )
    return [Pool(service=service, side=side, size=connections, replicas=count, surge=surge) for side in Side]


CHECKS = (
    Check(
        name="capacity",
        title="the target has room for everything",
        severity=Severity.BLOCKER,
        what="Requests of all copies, waypoints and gateways, against what the target's nodes have left: cores, memory "
        "and places for pods.",
        why="Everything runs twice until the soak ends. A node takes a limited number of pods whatever their size: on "
        "EKS as many as its network interfaces have addresses (17 on a t3.medium).",
        advice="add nodes to the target, or see that its autoscaler will, and accept this with that reason",
        find=_cluster,
    ),
    Check(
        name="pod-size",
        title="every pod fits on a node of the target",
        severity=Severity.BLOCKER,
        what="A pod whose requests no single node of the target can satisfy.",
        why="It stays Pending however many such nodes there are.",
        advice="add a larger node group, or lower the requests",
        find=_largest,
    ),
    Check(
        name="requests",
        title="pods say how much they need",
        severity=Severity.NOTE,
        what="A container without requests of cpu or memory.",
        why="It counts as nothing in the sum of capacity and in the scheduler's, so nodes of the target may be "
        "overfull without anybody seeing it; an autoscaler cannot measure it.",
        advice="set requests to what it uses on the source",
        find=_unstated,
    ),
    Check(
        name="autoscaler-limit",
        title="autoscalers have room to grow",
        severity=Severity.WARNING,
        what="A HorizontalPodAutoscaler whose workload has as many replicas as it allows.",
        why="With traffic that goes up step by step and a service at its limit the new side fails by load, not by "
        "fault, and is rolled back for it.",
        advice="raise maxReplicas before the migration",
        find=_limits,
    ),
    Check(
        name="autoscaler-requests",
        title="autoscalers can measure",
        severity=Severity.WARNING,
        what="An autoscaler on utilisation of a resource that a container does not request.",
        why="Utilisation is a share of the request; without one the autoscaler does nothing, on either side.",
        advice="set the request",
        find=_blind,
    ),
    Check(
        name="metrics-api",
        title="the target measures pods",
        severity=Severity.BLOCKER,
        what="A HorizontalPodAutoscaler, and a target without the API metrics.k8s.io.",
        why="An autoscaler that measures nothing leaves the replicas as they are: the copy stays at its first size "
        "while its traffic goes to 100 %. EKS has no metrics server by itself.",
        advice="install metrics-server on the target",
        find=_metrics,
    ),
    Check(
        name="connection-budget",
        title="data stores take the connections of both sides",
        severity=Severity.WARNING,
        what="Pools named in migration.yaml, times replicas and the surge of a rollout, on both sides, against what "
        "the store takes.",
        why="Pools open when a pod starts: 1 % of traffic costs 100 % of the target's connections. 20 pods with 10 "
        "connections each were a database's limit; 40 at once got `too many connections`.",
        advice="raise the store's limit, put a pooler before it, or make the target's pools smaller",
        find=_connections,
    ),
)
