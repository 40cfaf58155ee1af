"""Addresses, ports, protocols and policies: what else a request's path depends on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from math import ceil

from landbridge.assess.check import Check, Seen
from landbridge.assess.dataplane import spoken
from landbridge.assess.facts import Facts
from landbridge.envoy.names import INOTIFY
from landbridge.model.inventory import Severity
from landbridge.model.manifest import subject
from landbridge.model.service import Port, Protocol, ServiceId

INSTANCES = 128  # fs.inotify.max_user_instances of a kernel that nobody has asked for more
_ADDRESS = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])")
_LINKS = re.compile(r"\b[A-Z][A-Z0-9_]*_(?:SERVICE_HOST|SERVICE_PORT|PORT_\d+_TCP(?:_ADDR|_PORT)?)\b")


def _node_ports(facts: Facts) -> Iterator[Seen]:
    for _, item in facts.services:
        spec = item["spec"]
        if spec.get("type") == "NodePort":
            ports = ", ".join(str(port.get("nodePort")) for port in spec.get("ports") or ())
            yield Seen(subject(item), f"is open on the nodes' ports {ports}: who dials nodes dials the old ones")


def _load_balancers(facts: Facts) -> Iterator[Seen]:
    for _, item in facts.services:
        if item["spec"].get("type") == "LoadBalancer":
            yield Seen(subject(item), "has a load balancer of its own: callers from outside keep using the source's")


def _affinity(facts: Facts) -> Iterator[Seen]:
    for _, item in facts.services:
        if item["spec"].get("sessionAffinity") == "ClientIP":
            yield Seen(subject(item), "keeps a client's connections on one pod (sessionAffinity ClientIP)")


def get_protocol(facts: Facts, service: ServiceId, port: Port) -> Protocol:
    """The protocol of a port: as migration.yaml says, else as declared."""
    return spoken(facts.migration, service, port)


def _protocols(facts: Facts) -> Iterator[Seen]:
    for service, item in facts.services:
        stated = facts.migration.service(service.id).protocols
        unknown = [
            str(port["port"])
            for port in item["spec"].get("ports") or ()
            if not port.get("appProtocol")
            and (port.get("protocol") or "TCP") == "TCP"
            and str(port["port"]) not in stated
            and (port.get("name") or "") not in stated
            and (port.get("name") or "").partition("-")[0] not in {"http", "http2", "grpc", "ws", "tcp", "https", "tls"}
        ]
        if unknown:
            yield Seen(subject(item), f"does not say what its port {', '.join(unknown)} speaks: split per connection")


def _literals(facts: Facts) -> Iterator[Seen]:
    addresses: dict[str, str] = {}
    for item in facts.each("Service"):
        for address in item["spec"].get("clusterIPs") or (item["spec"].get("clusterIP"),):
            if address and address != "None":
                addresses[address] = subject(item)
    for name, text in facts.configured:
        if text.count(".") < 3:  # as in nearly all of them
            continue
        if found := addresses.keys() & set(_ADDRESS.findall(text)):
            who = ", ".join(f"{address} ({addresses[address]})" for address in sorted(found, key=ip_address))
            yield Seen(name, f"holds the cluster address {who}, which is another one on the target")


def _links(facts: Facts) -> Iterator[Seen]:
    for name, text in facts.configured:
        if "_SERVICE_" not in text and "_TCP" not in text:  # most have neither, and are done with at once
            continue
        if found := sorted(set(_LINKS.findall(text))):
            yield Seen(name, f"uses variables that Kubernetes makes from Services: {', '.join(found[:3])}")


def _hosts(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("Ingress"):
        hosts = sorted({rule["host"] for rule in item["spec"].get("rules") or () if rule.get("host")})
        if hosts:
            yield Seen(subject(item), f"answers for {', '.join(hosts)}; its copy claims the same on the target")


def _instances(facts: Facts) -> Iterator[Seen]:
    """Envoys that are spread evenly over the nodes; all have one uid, whatever their namespace."""
    plane = facts.migration.data_plane
    spaces = {service.id.namespace for service, _ in facts.services if service.id not in facts.refusals}
    for platform in (facts.inventory.source, facts.inventory.target):
        nodes = sum(node.pods > 0 for node in platform.nodes) or 1
        waypoints, gateways = ceil(len(spaces) * plane.waypoints / nodes), ceil(plane.gateways / nodes)
        needed = waypoints * INOTIFY["waypoint"] + gateways * INOTIFY["gateway"]
        if needed > INSTANCES:
            yield Seen(
                f"Cluster {platform.name}",
                f"gets {waypoints} waypoints and {gateways} gateways on each of {nodes} nodes, which open {needed} "
                f"inotify instances; {INSTANCES} are allowed by default",
            )


def _stated(facts: Facts) -> Iterator[Seen]:
    for service, _ in facts.services:
        known = {str(port.port) for port in service.ports} | {port.name for port in service.ports}
        stated: Mapping[str, Protocol] = facts.migration.service(service.id).protocols
        wrong = sorted(set(stated) - known)
        if wrong:
            yield Seen(
                f"Service {service.id}", f"has no port {', '.join(wrong)}, which migration.yaml gives a protocol"
            )


CHECKS = (
    Check(
        name="node-port",
        title="nobody depends on ports of nodes",
        severity=Severity.WARNING,
        what="A Service of type NodePort.",
        why="Whoever dials `node:port` (an outside balancer, a firewall rule, a cron on a server) dials a node of the "
        "source, and its ports may be taken on the target: restores elsewhere failed on `port is already allocated`.",
        advice="find who dials it and give them a name that can move; only node ports written by hand are copied",
        find=_node_ports,
    ),
    Check(
        name="load-balancer",
        title="outside callers come by a name that can move",
        severity=Severity.WARNING,
        what="A Service of type LoadBalancer.",
        why="Inside the clusters its traffic is divided as for any Service. From outside, callers reach the source's "
        "load balancer until DNS is changed, and reach pods on both sides through it.",
        advice="shift its name at the edge (Route 53, ALB) by itself; keep the old balancer until nobody calls",
        find=_load_balancers,
    ),
    Check(
        name="session-affinity",
        title="services do not pin clients to pods",
        severity=Severity.WARNING,
        what="sessionAffinity: ClientIP.",
        why="The waypoint keeps it by hashing the address it sees, but weights then divide clients, not requests: with "
        "few clients the share on the target jumps, and each change of weight moves some of them to another pod.",
        advice="keep sessions in a store that both sides share, or move this service in few steps",
        find=_affinity,
    ),
    Check(
        name="port-protocol",
        title="ports say what they speak",
        severity=Severity.WARNING,
        what="A TCP port without appProtocol whose name does not begin with http, grpc, ws or tcp.",
        why="HTTP is split per request only where it is declared. A protocol in which the server speaks first would "
        "hang behind an HTTP listener, so undeclared ports are split per connection: shares are coarser, callers that "
        "hold connections stay on their side, and errors inside are not seen.",
        advice="set appProtocol on the Service, or `protocols: {PORT: http|grpc|tcp}` in migration.yaml",
        find=_protocols,
    ),
    Check(
        name="stated-protocol",
        title="protocols in migration.yaml belong to ports that exist",
        severity=Severity.BLOCKER,
        what="An entry in `protocols` for a port that the Service does not have.",
        why="The port that was meant would be split per connection without a word.",
        advice="name the port by its number or its name",
        find=_stated,
    ),
    Check(
        name="cluster-address",
        title="nothing holds a Service's address",
        severity=Severity.WARNING,
        what="The cluster address of a Service, in digits, in a ConfigMap, variable or command line.",
        why="Each cluster gives its own addresses. Users of backup tools did rely on fixed ones and lost their service "
        "after a restore.",
        advice="write the Service's name instead",
        find=_literals,
    ),
    Check(
        name="service-link",
        title="programs find services by name",
        severity=Severity.WARNING,
        what="Variables such as REDIS_SERVICE_HOST in a command line or value.",
        why="Kubernetes sets them when a pod starts, in the order in which Services exist. On the target a pod that "
        "starts before the Service misses them; with them, `REDIS_PORT=tcp://10.0.0.1:6379` has stopped Redis itself.",
        advice="use DNS names; set enableServiceLinks: false",
        find=_links,
    ),
    Check(
        name="ingress-host",
        title="one side answers for a host",
        severity=Severity.WARNING,
        what="An Ingress with hosts.",
        why="external-dns on both sides with one owner id deletes the other's records (policy sync), and a certificate "
        "by HTTP-01 cannot be issued on the target before DNS points there.",
        advice="exclude it (`copy: {exclude: [...]}`) until the edge is shifted, or check owner ids",
        find=_hosts,
    ),
    Check(
        name="inotify-instances",
        title="nodes have inotify instances for all Envoys",
        severity=Severity.WARNING,
        what="So many namespaces for so few nodes that the Envoys on one of them open more than 128 inotify instances.",
        why="Envoy opens one for each file and folder that it watches, seven in a waypoint, six in a gateway, however "
        "many Services they carry. All Envoys of landbridge have one uid, and beyond fs.inotify.max_user_instances "
        "Envoy aborts: 126 ran, 130 crashed.",
        advice="raise fs.inotify.max_user_instances on all nodes; `landbridge check` says what they have",
        find=_instances,
    ),
)
