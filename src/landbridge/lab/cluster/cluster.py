"""One cluster from nothing to a Ready node, in the order that wastes no time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

from landbridge.clients.kubernetes import NODE, Kubernetes
from landbridge.clock import Clock
from landbridge.lab.cluster import control, dns, node
from landbridge.lab.cluster.control import ControlPlane
from landbridge.lab.host import network
from landbridge.lab.host.processes import Daemon, start, wait_ready
from landbridge.lab.images import store as stores
from landbridge.lab.place import ClusterPlace, NodePlace, Site


def get_plane(site: Site, cluster: ClusterPlace, programs: Mapping[str, Path]) -> ControlPlane:
    """The settings of a cluster's control plane."""
    return ControlPlane(
        name=cluster.name,
        folder=cluster.folder,
        mark=site.folder,
        programs=programs,
        ip=cluster.ip,
        services=cluster.services,
        first_service=cluster.first_service,
        pods=cluster.pods,
        netns=cluster.netns,
    )


async def start_cluster(
    site: Site, cluster: ClusterPlace, programs: Mapping[str, Path], store: Path, *, clock: Clock
) -> None:
    """Start everything of a cluster; returns when every node is Ready."""
    plane = get_plane(site, cluster, programs)
    control.write_identities(plane, {place.name: place.ip for place in cluster.nodes})
    for place in cluster.nodes:
        await network.make_namespace(site, place.netns, place.veth, place.ip)
    for place in cluster.nodes:
        await network.route_pods(place, cluster)
    await asyncio.gather(
        control.start_api(plane, clock=clock),
        *(_start_runtime(place, plane, store, clock=clock) for place in cluster.nodes),
    )
    async with Kubernetes.connect(cluster.kubeconfig) as api:
        await _start_rest(site, cluster, plane, api, clock=clock)


async def _start_rest(site: Site, cluster: ClusterPlace, plane: ControlPlane, api: Kubernetes, *, clock: Clock) -> None:
    kubelets = [node.start_kubelet(place, plane, cluster) for place in cluster.nodes]
    start(control.get_controllers(plane))
    start(control.get_scheduler(plane))
    for place in cluster.nodes:
        node.start_proxy(place, plane, cluster)
    dns.start_dns(plane)
    start(get_balancer(site, cluster, plane))
    await dns.publish_dns(api, cluster)

    async def are_ready() -> bool:
        return sum(node.is_ready(item) for item in await api.list(NODE)) == len(cluster.nodes)

    for kubelet in kubelets:
        await wait_ready(kubelet, are_ready, within=120, clock=clock, every=0.2)


async def _start_runtime(place: NodePlace, plane: ControlPlane, store: Path, *, clock: Clock) -> None:
    await stores.copy(store, place.folder / "containerd")
    await node.start_containerd(place, plane, clock=clock)


def get_balancer(site: Site, cluster: ClusterPlace, plane: ControlPlane) -> Daemon:
    """The process that gives LoadBalancer Services their addresses."""
    argv = (sys.executable, "-m", "landbridge.lab.cluster.balancer", str(plane.get_kubeconfig("balancer")))
    return Daemon(
        name="balancer", argv=(*argv, cluster.netns, *cluster.balanced), folder=cluster.folder, mark=site.folder
    )
