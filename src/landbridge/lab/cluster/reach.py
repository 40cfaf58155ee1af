"""Waits until Services take connections: kube-proxy learns of ready pods later than the API server says so.

By a second as a rule, by several while 409 Services become ready on two cores: six requests were refused then, before
landbridge was there. Run as a program inside a node's network namespace it dials what stdin names.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Iterator, Sequence
from functools import partial

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import DeadlineError, SystemClock, wait_for
from landbridge.lab.host.command import in_netns, run
from landbridge.lab.place import ClusterPlace
from landbridge.model.service import Manifest


async def wait_reachable(
    k8s: Kubernetes, cluster: ClusterPlace, namespaces: Collection[str], *, within: float = 60
) -> None:
    """Dial every TCP port of every Service of these namespaces from each node until it is taken.

    Raises LandbridgeError naming the first address that is not, after `within` seconds.
    """
    listed = await asyncio.gather(*(k8s.list(SERVICE, namespace) for namespace in namespaces))
    places = "\n".join(place for services in listed for service in services for place in _addresses(service)).encode()
    words = (sys.executable, "-m", __name__, str(within))
    await asyncio.gather(*(run(*in_netns(node.netns), *words, stdin=places) for node in cluster.nodes))


def _addresses(service: Manifest) -> Iterator[str]:
    spec = service["spec"]
    address = spec.get("clusterIP") or "None"
    if address != "None" and spec.get("selector"):
        for port in spec["ports"]:
            if port.get("protocol", "TCP") == "TCP":
                yield f"{address}:{port['port']}"


async def _dial(places: Sequence[str], within: float) -> None:
    for place in places:
        takes = partial(_takes, *place.rsplit(":", 1))
        await wait_for(takes, what=f"{place} takes connections", within=within, clock=SystemClock())


async def _takes(host: str, port: str) -> bool:
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


if __name__ == "__main__":
    try:
        asyncio.run(_dial(sys.stdin.read().split(), float(sys.argv[1])))
    except DeadlineError as error:
        sys.exit(str(error))
