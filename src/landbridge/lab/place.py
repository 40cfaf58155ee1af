"""Where everything of a lab lives: folders, names and addresses, all worked out from its index (pure).

A lab with index `i` owns the bridge `lblab<i>`, the network 10.90.<i>.0/24, the folders of `Site`, namespaces and
cgroups whose names begin with `lblab<i>-`, and processes that carry its mark in their environment: nothing else.
Pod and Service ranges are seen only inside a cluster's namespaces, so labs may share them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MARK = "LANDBRIDGE_LAB"
"""Environment variable of every process of a lab; its value is the lab's folder."""

MAX_CLUSTERS = 4
MAX_NODES = 9
MAX_INDEX = 99
BALANCED = 48
"""LoadBalancer addresses a cluster has."""


def get_cache() -> Path:
    """The folder for programs and images, `~/.cache/landbridge/lab` unless LANDBRIDGE_LAB_CACHE says otherwise."""
    named = os.environ.get("LANDBRIDGE_LAB_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "landbridge" / "lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlace:
    """One node: its names, its address on the lab's bridge and the range of its pods."""

    name: str
    netns: str
    veth: str
    ip: str
    pods: str
    folder: Path
    run: Path

    @property
    def cgroup(self) -> str:
        """The cgroup of its pods, below the root of every hierarchy."""
        return self.netns

    @property
    def socket(self) -> Path:
        """The socket of containerd; short, for a socket's path ends at 107 bytes."""
        return self.run / f"{self.name}.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlace:
    """One cluster: its ranges, its folder and its nodes; the first node carries the control plane."""

    name: str
    pods: str
    services: str
    first_service: str
    dns: str
    balanced: tuple[str, ...]
    folder: Path
    nodes: tuple[NodePlace, ...]

    @property
    def ip(self) -> str:
        """The address of the control plane."""
        return self.nodes[0].ip

    @property
    def node_ip(self) -> str:
        """The same, as `lab up -o json` names it."""
        return self.ip

    @property
    def context(self) -> str:
        """The name of its context in every kubeconfig."""
        return self.name

    @property
    def netns(self) -> str:
        """The network namespace of the control plane."""
        return self.nodes[0].netns

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, certificates inline."""
        return self.folder / "admin.kubeconfig"

    @property
    def audit(self) -> Path:
        """The API server's audit log, JSON lines, level Metadata."""
        return self.folder / "log" / "audit.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One lab's place on the machine."""

    index: int
    folder: Path
    run: Path

    @property
    def prefix(self) -> str:
        """What names of namespaces, cgroups and interfaces of this lab begin with."""
        return f"lblab{self.index}"

    @property
    def bridge(self) -> str:
        """The bridge that is the node network of all clusters."""
        return self.prefix

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge."""
        return f"10.90.{self.index}.1"

    @property
    def store_ip(self) -> str:
        """The address of PostgreSQL and Redis, which all clusters share."""
        return f"10.90.{self.index}.5"

    @property
    def store_netns(self) -> str:
        """The network namespace of PostgreSQL and Redis."""
        return f"{self.prefix}-store"

    @property
    def kubeconfig(self) -> Path:
        """One kubeconfig with a context per cluster."""
        return self.folder / "kubeconfig"


def get_kept_limit() -> Path:
    """Where the machine's own limit on inotify instances is kept while labs run."""
    return get_cache() / "run" / "inotify"


def get_site(index: int) -> Site:
    """The place of lab number `index` (0 to 99)."""
    return Site(index=index, folder=get_cache() / "run" / str(index), run=Path(f"/run/landbridge-lab-{index}"))


def get_cluster(site: Site, name: str, number: int, nodes: int = 1) -> ClusterPlace:
    """The place of the cluster `name`, the `number`-th (from 1) of its lab."""
    return ClusterPlace(
        name=name,
        pods=f"10.{90 + number}.0.0/16",
        services=f"10.{100 + number}.0.0/16",
        first_service=f"10.{100 + number}.0.1",
        dns=f"10.{100 + number}.0.10",
        balanced=tuple(f"10.90.{site.index}.{50 * number + n}" for n in range(BALANCED)),
        folder=site.folder / name,
        nodes=tuple(_get_node(site, name, number, n) for n in range(nodes)),
    )


def _get_node(site: Site, cluster: str, number: int, node: int) -> NodePlace:
    name = cluster if node == 0 else f"{cluster}-{node + 1}"
    return NodePlace(
        name=name,
        netns=f"{site.prefix}-{name}",
        veth=f"{site.prefix}c{number}n{node}",
        ip=f"10.90.{site.index}.{10 * number + node + 1}",
        pods=f"10.{90 + number}.{node}.0/24",
        folder=site.folder / cluster / "nodes" / name,
        run=site.run,
    )
