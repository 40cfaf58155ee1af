"""What NetworkPolicies lack once waypoints stand in the path (pure).

A caller's connection ends in a waypoint, and what a pod sees comes from a waypoint or a gateway. So policies that name
callers and pods isolate all three. Made here are the policies that let the same callers through: to the waypoint from
whoever may call its Services, to the pods from waypoints and gateways, from the waypoint to what it needs, and from
callers whose egress is limited to the waypoint. They only allow, and isolate nobody who was not isolated, but for the
waypoint itself where all of its Services' pods were.

One waypoint stands before all Services of a namespace, and which of its ports is which Service's is not known before
adoption. Where Services of a namespace have different callers, each gets the callers of all: `widened` says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_network
from typing import Any

from landbridge.model.manifest import NONE, Fields, labels_of, name_of, namespace_of, selects
from landbridge.model.service import Manifest, ServiceId

MADE = "landbridge.dev/policy"
"""The label of what is made here; people apply it, and it is copied to the target like their own."""
HOME = "landbridge"
ROLE = "landbridge.dev/role"
WAYPOINT: Fields = {ROLE: "waypoint", "app.kubernetes.io/name": "landbridge-waypoint"}
GATEWAY: Fields = {ROLE: "gateway"}
NAME = "kubernetes.io/metadata.name"
LISTEN: Fields = {"protocol": "TCP", "port": 20000, "endPort": 29999}
"""The ports that stand for Service ports on a waypoint."""
OWN: Sequence[Fields] = ({"protocol": "TCP", "port": 15020}, {"protocol": "TCP", "port": 15021})
"""The agent's read-only port, which the API server asks, and Envoy's readiness."""
OUT: Sequence[Fields] = (
    *({"protocol": "TCP", "port": port} for port in (53, 443, 6443, 15443)),
    {"protocol": "UDP", "port": 53},
)
"""Where a waypoint goes beside pods: DNS, the API server, the other cluster's gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fronted:
    """A Service that will be adopted: the labels of its pods (one set for each workload), and the numbers and names by
    which their ports are known.
    """

    id: ServiceId
    pods: tuple[Mapping[str, str], ...]
    ports: frozenset[int | str]


@dataclass(frozen=True, kw_only=True)
class Network:
    """The policies of the namespaces that move, the labels of namespaces, and the Services that will be adopted."""

    policies: tuple[Manifest, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    services: tuple[Fronted, ...]

    @classmethod
    def of(cls, policies: Iterable[Manifest], namespaces: Iterable[Manifest], services: Iterable[Fronted]) -> Network:
        """The network as it is without the policies that were made here."""
        return cls(
            policies=tuple(item for item in policies if MADE not in labels_of(item)),
            namespaces={name_of(item): {**labels_of(item), NAME: name_of(item)} for item in namespaces},
            services=tuple(services),
        )

    @cached_property
    def services_in(self) -> Mapping[str, list[Fronted]]:
        """The Services by namespace, in order."""
        found: dict[str, list[Fronted]] = defaultdict(list)
        for service in self.services:
            found[service.id.namespace].append(service)
        return dict(sorted(found.items()))

    @cached_property
    def policies_in(self) -> Mapping[str, list[Manifest]]:
        """The policies by namespace."""
        found: dict[str, list[Manifest]] = defaultdict(list)
        for item in self.policies:
            found[namespace_of(item)].append(item)
        return found


def policies(network: Network) -> tuple[Manifest, ...]:
    """The policies to add, in the namespaces' order; none where nothing is isolated."""
    made = [item for space in network.services_in for item in _of_space(network, space)]
    return (*made, *_egress(network))


def widened(network: Network) -> Iterator[tuple[ServiceId, str]]:
    """Services that more may call by way of the waypoint than before, and who."""
    for services in network.services_in.values():
        union = _callers_of(network, services)
        for service in services:
            own = _callers(network, service)
            if own is not None and own != union:
                yield service.id, "everybody" if union is None else _words([p for p in union if p not in own])


def _of_space(network: Network, space: str) -> Iterator[Manifest]:
    services = network.services_in[space]
    callers = _callers_of(network, services)
    shut = {way for way in ("Ingress", "Egress") if _isolates_any(network, space, WAYPOINT, way)}
    if callers is not None or "Ingress" in shut:
        yield _waypoint_ingress(space, callers)
    if "Egress" in shut:
        rules: list[Fields] = [{"to": [{"podSelector": {}}]}, {"ports": list(OUT)}]
        yield _policy("landbridge-waypoint-egress", space, WAYPOINT, egress=rules)
    yield from _leaves(network, services)


def _leaves(network: Network, services: Sequence[Fronted]) -> Iterator[Manifest]:
    """Waypoint and gateways let in to pods that are isolated; selected as by the policy that isolates most of them, so
    that no pod is isolated that was not.
    """
    pods = [(service, labels) for service in services for labels in service.pods]
    by: dict[str, tuple[Manifest, set[int | str]]] = {}
    for service, labels in pods:
        found = [item for item in _isolating(network, service) if _isolates(item, labels, "Ingress")]
        if found:
            count = {name_of(item): sum(_isolates(item, other, "Ingress") for _, other in pods) for item in found}
            widest = min(found, key=lambda item: (-count[name_of(item)], name_of(item)))
            by.setdefault(name_of(widest), (widest, set()))[1].update(service.ports)
    for name, (item, ports) in sorted(by.items()):
        made = _policy(f"landbridge-leaf-{name}", namespace_of(item), {})
        made["spec"]["podSelector"] = item["spec"].get("podSelector") or {}
        peers = [{"podSelector": {"matchLabels": dict(WAYPOINT)}}, _gateways()]
        made["spec"]["ingress"] = [{"from": peers, "ports": _ports(ports)}]
        yield made


def _waypoint_ingress(space: str, callers: Sequence[Fields] | None) -> Manifest:
    anyone: dict[str, Any] = {"ports": [LISTEN]}
    rules = [
        *([anyone] if callers is None else [anyone | {"from": list(callers)}] if callers else []),
        {"from": [_gateways()], "ports": [LISTEN]},
        {"ports": list(OWN)},
    ]
    return _policy("landbridge-waypoint", space, WAYPOINT, ingress=rules)


def _gateways() -> dict[str, Any]:
    """The gateways: one of their agents dials a waypoint before it is adopted, and they forward to the pods."""
    return {
        "namespaceSelector": {"matchLabels": {NAME: HOME}},
        "podSelector": {"matchLabels": dict(GATEWAY)},
    }


def _egress(network: Network) -> Iterator[Manifest]:
    """For each policy that lets its pods call an adopted Service's pods but not the waypoint before them."""
    for item in network.policies:
        if "Egress" not in _ways(item):
            continue
        reached = [space for space in network.services_in if _lacks_waypoint(network, item, space)]
        if reached:
            peers = [
                {"namespaceSelector": {"matchLabels": {NAME: space}}, "podSelector": {"matchLabels": dict(WAYPOINT)}}
                for space in reached
            ]
            made = _policy(f"landbridge-egress-{name_of(item)}", namespace_of(item), {}, egress=[])
            made["spec"]["podSelector"] = item["spec"].get("podSelector") or {}
            made["spec"]["egress"] = [{"to": peers, "ports": [LISTEN]}]
            yield made


def _lacks_waypoint(network: Network, item: Manifest, space: str) -> bool:
    rules = item["spec"].get("egress") or ()
    pods = [(labels, service.ports) for service in network.services_in[space] for labels in service.pods]
    called = any(_reaches(network, item, rule, space, *pod) for rule in rules for pod in pods)
    listen: frozenset[int | str] = frozenset({LISTEN["port"], LISTEN["endPort"]})
    return called and not any(_reaches(network, item, rule, space, WAYPOINT, listen, every=True) for rule in rules)


def _reaches(
    network: Network,
    item: Manifest,
    rule: Fields,
    space: str,
    labels: Mapping[str, str],
    ports: Collection[int | str],
    *,
    every: bool = False,
) -> bool:
    """Whether an egress rule lets its pods call pods with these labels in `space` on one (or `every`) of the ports."""
    open_ports = [_opens(rule, port) for port in ports]
    if not (all(open_ports) if every else any(open_ports)):
        return False
    peers = rule.get("to") or ()
    own = namespace_of(item)
    return not peers or any(_is_peer(network, peer, own, space, labels) for peer in peers)


def _is_peer(network: Network, peer: Fields, own: str, space: str, labels: Mapping[str, str]) -> bool:
    """An address block of a private network may hold any pod, so it is taken to."""
    if block := peer.get("ipBlock"):
        return _is_private(str(block.get("cidr")))
    spaces = peer.get("namespaceSelector")
    known = network.namespaces.get(space, {NAME: space})
    here = space == own if spaces is None else selects(spaces, known)
    pods = peer.get("podSelector")
    return here and (pods is None or selects(pods, labels))


def _is_private(cidr: str) -> bool:
    try:
        return ip_network(cidr, strict=False).is_private or ip_network(cidr, strict=False).prefixlen == 0
    except ValueError:
        return False


def _callers_of(network: Network, services: Iterable[Fronted]) -> Sequence[Fields] | None:
    """Who may call any of these; None: everybody."""
    union: list[Fields] = []
    for service in services:
        callers = _callers(network, service)
        if callers is None:
            return None
        union += [peer for peer in callers if peer not in union]
    return union


def _callers(network: Network, service: Fronted) -> Sequence[Fields] | None:
    """Who may call a Service's pods on one of its ports; None: everybody."""
    isolating = _isolating(network, service)
    if not isolating:
        return None
    found: list[Fields] = []
    for item in isolating:
        for rule in item["spec"].get("ingress") or ():
            if not any(_opens(rule, port) for port in service.ports):
                continue
            if not rule.get("from"):
                return None
            found += [peer for peer in rule["from"] if peer not in found]
    return found


def _isolating(network: Network, service: Fronted) -> list[Manifest]:
    """The policies that decide who may call a Service's pods."""
    here = network.policies_in.get(service.id.namespace, ())
    return [item for item in here if any(_isolates(item, labels, "Ingress") for labels in service.pods)]


def shuts_waypoints(item: Manifest) -> list[str]:
    """The ways, Ingress or Egress, in which a policy limits the waypoint of its namespace."""
    return [way for way in ("Ingress", "Egress") if _isolates(item, WAYPOINT, way)]


def _isolates_any(network: Network, space: str, labels: Mapping[str, str], way: str) -> bool:
    return any(_isolates(item, labels, way) for item in network.policies_in.get(space, ()))


def _isolates(item: Manifest, labels: Mapping[str, str], way: str) -> bool:
    return way in _ways(item) and selects(item["spec"].get("podSelector") or {}, labels)


def _ways(item: Manifest) -> Collection[str]:
    spec = item.get("spec") or NONE
    return spec.get("policyTypes") or ("Ingress", *(("Egress",) if spec.get("egress") else ()))


def _opens(rule: Fields, port: int | str) -> bool:
    """Whether a rule is about a TCP port; one without ports is about all."""
    entries = rule.get("ports") or ()
    return not entries or any(_is_port(entry, port) for entry in entries)


def _is_port(entry: Fields, port: int | str) -> bool:
    if (entry.get("protocol") or "TCP") != "TCP":
        return False
    first = entry.get("port")
    if first is None or first == port:
        return True
    return isinstance(first, int) and isinstance(port, int) and first <= port <= int(entry.get("endPort") or first)


def _ports(ports: Iterable[int | str]) -> list[Fields]:
    return [{"protocol": "TCP", "port": port} for port in sorted(ports, key=str)]


def _policy(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    *,
    ingress: Sequence[Fields] | None = None,
    egress: Sequence[Fields] | None = None,
) -> Manifest:
    spec: dict[str, Any] = {"podSelector": {"matchLabels": dict(labels)}}
    spec["policyTypes"] = ["Ingress"] if egress is None else ["Egress"]
    spec |= {"ingress": list(ingress or ())} if egress is None else {"egress": list(egress)}
    meta = {"name": name, "namespace": namespace, "labels": {MADE: "waypoint"}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def _words(peers: Sequence[Fields]) -> str:
    """Peers as people read them."""
    return "; ".join(_word(peer) for peer in peers) or "nobody more"


def _word(peer: Fields) -> str:
    if block := peer.get("ipBlock"):
        return f"addresses {block.get('cidr')}"
    found = []
    for key, what in (("podSelector", "pods"), ("namespaceSelector", "namespaces")):
        if key in peer:
            plain = ", ".join(f"{k}={v}" for k, v in sorted((peer[key].get("matchLabels") or {}).items()))
            found.append(f"{what} {plain or ('by expressions' if peer[key].get('matchExpressions') else 'all')}")
    return " of ".join(found)
