"""The lab's network: one bridge, and a namespace with an address on it for each node."""

from __future__ import annotations

from pathlib import Path

from landbridge.lab.host.command import in_netns, run
from landbridge.lab.place import ClusterPlace, NodePlace, Site


async def make_bridge(site: Site) -> None:
    """Make the bridge with the machine's own address on it; one that is there already is fine."""
    if not Path(f"/sys/class/net/{site.bridge}").exists():
        await run("ip", "link", "add", site.bridge, "type", "bridge")
    await run("ip", "addr", "replace", f"{site.gateway}/24", "dev", site.bridge)
    await run("ip", "link", "set", site.bridge, "up")


async def make_namespace(site: Site, name: str, veth: str, ip: str) -> None:
    """Make a network namespace whose eth0 has `ip` on the bridge."""
    await run("ip", "netns", "add", name)
    await run("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", name)
    await run("ip", "link", "set", veth, "master", site.bridge, "up")
    script = f"""
        ip addr add {ip}/24 dev eth0; ip link set eth0 up; ip link set lo up
        ip route add default via {site.gateway}
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.route_localnet=1
        sysctl -qw net.netfilter.nf_conntrack_max=262144 2>/dev/null || true
    """
    await run(*in_netns(name), "sh", "-ec", script)


async def route_pods(node: NodePlace, peers: ClusterPlace) -> None:
    """Let a node reach the pods on the other nodes of a cluster by a route to each."""
    for peer in peers.nodes:
        if peer.netns != node.netns:
            await run(*in_netns(node.netns), "ip", "route", "replace", peer.pods, "via", peer.ip)


def find(site: Site) -> list[str]:
    """Every namespace and interface whose name is this lab's, as `namespace NAME` and `interface NAME`."""
    folder = Path("/run/netns")
    spaces = [entry.name for entry in folder.iterdir()] if folder.exists() else []
    links = [entry.name for entry in Path("/sys/class/net").iterdir()]
    own = {site.bridge, f"{site.prefix}s"}
    return [
        *(f"namespace {name}" for name in sorted(spaces) if name.startswith(f"{site.prefix}-")),
        *(f"interface {name}" for name in sorted(links) if name in own or name.startswith(f"{site.prefix}c")),
    ]


async def remove(site: Site) -> None:
    """Take away what `find` finds; safe to repeat. Some interfaces go by themselves with their namespace."""
    for found in find(site):
        kind, _, name = found.partition(" ")
        await run("ip", *(("netns", "del") if kind == "namespace" else ("link", "del")), name, check=False)
