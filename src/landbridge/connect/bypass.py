"""Connections that pass a waypoint by: counted in the pods themselves, for nobody else knows of them.

A connection stays where it was opened: callers that dialled a pod before adoption, or dial pods directly, are invisible
to Envoy and to the judge. An ephemeral container in each leaf pod reads the pod's own connection table every two
seconds for a few minutes and prints how many peers are neither waypoint nor gateway. Where that is refused, or a pod
shares its node's network, the answer is "unknown". An ephemeral container cannot be removed again, so one serves
many questions.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from landbridge.clients.answers import ApiError, ForbiddenError
from landbridge.clients.kinds import ENDPOINTSLICE, POD, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, DeadlineError, wait_for
from landbridge.connect import names
from landbridge.connect.options import IMAGE
from landbridge.model.service import Manifest, ServiceId
from landbridge.translate.adoption import leaf_name

ESTABLISHED, LISTENING = "01", "0A"  # states in /proc/net/tcp
PREFIX = "landbridge-bypass-"
EVERY, FOR = 2, 600  # seconds
TAIL = 200  # lines of the log; the kubelet counts each 16 KB of a long one as a line of its own
SCRIPT = f"""
import json, time
end = time.time() + {FOR}
while time.time() < end:
    rows = []
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows += [line.split()[1:4] for line in open(name).readlines()[1:]]
        except OSError:
            pass
    open_ports = {{row[0].split(":")[1] for row in rows if row[2] == "{LISTENING}"}}
    rows = [row[:2] for row in rows if row[2] == "{ESTABLISHED}" and row[0].split(":")[1] in open_ports]
    print(json.dumps(rows), flush=True)
    time.sleep({EVERY})
"""


@dataclass(frozen=True, slots=True, order=True)
class Connection:
    """One established connection as a pod sees it."""

    local_port: int
    peer: str
    peer_port: int


async def bypass(k8s: Kubernetes, service: ServiceId, *, clock: Clock, image: str = IMAGE) -> int | None:
    """How many connections to a Service's leaf pods come neither from waypoints nor from gateways.

    None where it cannot be known for every pod. `image` has Python; it is landbridge's own. The first call takes a few
    seconds, the following ones read what is there.
    """
    if await k8s.find(SERVICE, leaf_name(service.name), service.namespace) is None:
        return None  # not adopted: every connection is a direct one
    slices = await k8s.list(ENDPOINTSLICE, service.namespace, labels=_of(leaf_name(service.name)))
    ports = {int(port["port"]) for item in slices for port in item.get("ports") or () if port.get("port")}
    found = [endpoint for item in slices for endpoint in item.get("endpoints") or ()]
    pods = {(endpoint.get("targetRef") or {}).get("name", "") for endpoint in found}
    expected = await _own_addresses(k8s, service.namespace)
    total = 0
    for pod in sorted(pods):
        samples = await _samples(k8s, pod, service.namespace, image, clock) if pod else None
        if samples is None:
            return None
        nodes = samples.nodes
        total += len(strangers(samples.rows, ports=ports, expected=expected | {samples.address}, nodes=nodes))
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """The last two readings of one pod's table, its own address and its node's addresses."""

    address: str
    nodes: frozenset[str]
    rows: tuple[tuple[Connection, ...], ...]


def strangers(
    readings: Iterable[Collection[Connection]],
    *,
    ports: Collection[int],
    expected: Collection[str],
    nodes: Collection[str],
) -> frozenset[Connection]:
    """Connections to `ports` from peers that are not `expected`, over two readings (pure).

    From a node's own address come the kubelet's probes, which are over at once, as well as callers behind its address
    translation: so from there a connection counts when it is in both readings.
    """
    first, *rest = [frozenset(reading) for reading in readings] or [frozenset()]
    last = rest[-1] if rest else first
    foreign = {item for item in first | last if item.local_port in ports and not _is_expected(item.peer, expected)}
    return frozenset(item for item in foreign if item.peer not in nodes or (item in first and item in last and rest))


def read(line: str) -> tuple[Connection, ...]:
    """One line of the container's output; ValueError when it is cut off."""
    return tuple(Connection(_port(local), _address(peer), _port(peer)) for local, peer in json.loads(line))


async def _samples(k8s: Kubernetes, pod: str, namespace: str, image: str, clock: Clock) -> Samples | None:
    manifest = await k8s.find(POD, pod, namespace)
    if manifest is None or manifest["spec"].get("hostNetwork"):
        return None
    try:
        container = _running(manifest) or await _start(k8s, manifest, image)
        readings = await wait_for(
            lambda: _readings(k8s, pod, namespace, container), what="two readings", within=30, clock=clock, every=0.5
        )
    except (ForbiddenError, ApiError, DeadlineError):
        return None
    status = manifest["status"]
    hosts = {status.get("hostIP", ""), *(entry["ip"] for entry in status.get("hostIPs") or ())}
    gateways = _gateways(status.get("podIPs") or [{"ip": status["podIP"]}])
    return Samples(address=status["podIP"], nodes=frozenset(hosts | gateways), rows=tuple(readings))


async def _start(k8s: Kubernetes, pod: Manifest, image: str) -> str:
    """Add the ephemeral container; its name."""
    before = pod["spec"].get("ephemeralContainers") or []
    name = f"{PREFIX}{len(before)}"
    added = {
        "name": name,
        "image": image,
        "command": ["python3", "-S", "-c", SCRIPT],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    patch = {"spec": {"ephemeralContainers": [*before, added]}}
    meta = pod["metadata"]
    await k8s.patch(POD, meta["name"], patch, meta["namespace"], subresource="ephemeralcontainers")
    return name


async def _readings(k8s: Kubernetes, pod: str, namespace: str, container: str) -> list[tuple[Connection, ...]] | None:
    """The last two readings, once there are two."""
    try:
        text = await k8s.logs(pod, namespace, container, tail=TAIL)
    except ApiError:  # the container is still being made
        return None
    found: list[tuple[Connection, ...]] = []
    for line in text.splitlines()[-4:]:
        with suppress(ValueError):  # the first may begin in its middle, the last may not be whole yet
            found.append(read(line))
    return found[-2:] if len(found) > 1 else None


def _running(pod: Manifest) -> str:
    """The container of ours that still prints, if any."""
    statuses = (pod.get("status") or {}).get("ephemeralContainerStatuses") or ()
    running = [entry["name"] for entry in statuses if "running" in (entry.get("state") or {})]
    return next((name for name in running if name.startswith(PREFIX)), "")


async def _own_addresses(k8s: Kubernetes, namespace: str) -> set[str]:
    """The addresses of the gateways and of the namespace's own waypoints, ready or not: no others dial its pods."""
    labels = f"{names.SELECT_OURS},{names.ROLE}"
    pods = [pod for space in (namespace, names.HOME) for pod in await k8s.list(POD, space, labels=labels)]
    return {entry["ip"] for pod in pods for entry in (pod.get("status") or {}).get("podIPs") or ()}


def _is_expected(peer: str, expected: Collection[str]) -> bool:
    return peer in expected or ipaddress.ip_address(peer).is_loopback


def _gateways(pod_ips: Iterable[Mapping[str, Any]]) -> set[str]:
    """The first address of a pod's /24, which bridges give to the node's own side (kubelet's probes come from it)."""
    found = [ipaddress.ip_address(entry["ip"]) for entry in pod_ips]
    return {str(ipaddress.ip_network(f"{ip}/24", strict=False)[1]) for ip in found if ip.version == 4}


def _address(text: str) -> str:
    """An address of /proc/net/tcp or tcp6: 32-bit words in the machine's byte order (little on all we run on)."""
    raw = bytes.fromhex(text.partition(":")[0])
    words = [raw[at : at + 4][::-1] for at in range(0, len(raw), 4)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _port(text: str) -> int:
    return int(text.partition(":")[2], 16)


def _of(service: str) -> str:
    return f"kubernetes.io/service-name={service}"
