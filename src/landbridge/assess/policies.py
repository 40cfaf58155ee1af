"""NetworkPolicies: whether they are obeyed, and whether they let waypoints through."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import NONE, name_of, namespace_of, subject
from landbridge.model.service import Manifest, ServiceId
from landbridge.settings.migration import Policies
from landbridge.translate.callers import differ
from landbridge.translate.policies import policies, shuts_waypoints, widened

FILE = "networkpolicies.yaml"
"""What `landbridge assess` writes beside the assessment when policies are missing."""
FOREIGN = (
    ("NetworkPolicy", "crd.projectcalico.org/"),
    ("GlobalNetworkPolicy", "crd.projectcalico.org/"),
    ("CiliumNetworkPolicy", "cilium.io/"),
    ("CiliumClusterwideNetworkPolicy", "cilium.io/"),
    ("AdminNetworkPolicy", "policy.networking.k8s.io/"),
    ("BaselineAdminNetworkPolicy", "policy.networking.k8s.io/"),
    ("ClusterNetworkPolicy", "policy.networking.k8s.io/"),
    ("AuthorizationPolicy", "security.istio.io/"),
    ("AuthorizationPolicy", "policy.linkerd.io/"),
    ("ServerAuthorization", "policy.linkerd.io/"),
)
"""Kinds that say who may call whom and that NetworkPolicies cannot express: (kind, beginning of apiVersion)."""


def missing(facts: Facts) -> Iterator[Manifest]:
    """The policies that let waypoints through and are not on the source yet, to be shown and applied."""
    there = {subject(item): item["spec"] for item in facts.each("NetworkPolicy")}
    for item in policies(facts.network):
        if there.get(subject(item)) != item["spec"]:
            yield item


def _lacking(facts: Facts) -> Iterator[Seen]:
    for item in missing(facts):
        yield Seen(subject(item), "is not there, or is another one: with it waypoints are let through")


def _widened(facts: Facts) -> Iterator[Seen]:
    enforced = facts.migration.data_plane.policies is Policies.ENFORCE
    apart = _apart(facts) if enforced else {}
    for service, port in apart.items():
        yield Seen(
            f"Service {service}",
            f"has pods that different callers may call on port {port}, and a waypoint sends all to any of them",
            "give its pods the same labels and port numbers, accept that only who may call all of them gets through, "
            "or set `skip: true` for the Service",
        )
    for service, who in widened(facts.network):
        if not enforced:
            yield Seen(f"Service {service}", f"could be called by way of the waypoint by more than before: {who}")
        elif service not in apart:
            yield Seen(
                f"Service {service}",
                f"shares its waypoint with Services that more may call ({who}); the waypoint lets in only its own",
                "nothing to do; docs/connection.md#networkpolicies says what is kept and what is not",
                Severity.NOTE,
            )


def _apart(facts: Facts) -> dict[ServiceId, str]:
    """Services whose pods do not all have the same callers, and a port where it shows."""
    manifests = {service.id: item for service, item in facts.services}
    found: dict[ServiceId, str] = {}
    for fronted in facts.network.services:
        near = facts.network.policies_in.get(fronted.id.namespace, ())
        for port in manifests[fronted.id]["spec"].get("ports") or ():
            if differ(near, facts.called[fronted.id], port.get("targetPort") or port["port"]):
                found.setdefault(fronted.id, str(port["port"]))
    return found


def _foreign(facts: Facts) -> Iterator[Seen]:
    kinds = {kind for kind, _ in FOREIGN}
    for items in facts.by_kind.values():
        for item in items if items[0]["kind"] in kinds else ():
            if any(item["kind"] == kind and item["apiVersion"].startswith(group) for kind, group in FOREIGN):
                yield Seen(subject(item), "says who may call whom, in a way that cannot be carried over to a waypoint")


def _enforced(facts: Facts) -> Iterator[Seen]:
    if "networkpolicy-enforced" in facts.inventory.target.features:
        return
    for item in facts.each("NetworkPolicy"):
        yield Seen(
            subject(item), "may have no effect on the target: no network plugin known to enforce policies runs there"
        )


def _isolated(facts: Facts) -> Iterator[Seen]:
    for item in facts.there.get("NetworkPolicy", ()):
        known = ("NetworkPolicy", namespace_of(item), name_of(item)) in facts.names
        if not known and (ways := shuts_waypoints(item)):
            yield Seen(subject(item), f"limits the {' and '.join(ways).lower()} of waypoints on the target")


def _blocks(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("NetworkPolicy"):
        spec = item.get("spec") or NONE
        peers = [peer for rule in spec.get("ingress") or () for peer in rule.get("from") or ()]
        peers += [peer for rule in spec.get("egress") or () for peer in rule.get("to") or ()]
        cidrs = {str(peer["ipBlock"].get("cidr")) for peer in peers if peer.get("ipBlock")}
        private = sorted(filter(_is_private, cidrs))
        if private:
            yield Seen(subject(item), f"names addresses of a private network: {', '.join(private)}")


def _is_private(cidr: str) -> bool:
    try:
        network = ip_network(cidr, strict=False)
    except ValueError:
        return False
    return network.is_private and network.prefixlen > 0


CHECKS = (
    Check(
        name="waypoint-policy",
        title="policies let waypoints through",
        severity=Severity.BLOCKER,
        what="A NetworkPolicy that waypoints need and that is not on the source: pods, or all pods of a namespace, are "
        "isolated there.",
        why="Callers' connections end in the waypoint, and pods see waypoints and gateways instead of callers. Behind "
        "policies that name the callers, or deny all, every request of an adopted Service would be refused.",
        advice=f"review {FILE}, apply it to the source, take the inventory again; it is copied like your own policies",
        find=_lacking,
    ),
    Check(
        name="widened-policy",
        title="nobody may call more by way of a waypoint",
        severity=Severity.BLOCKER,
        what="A Service whose pods only some may call, in a namespace where others may call another Service. With "
        "`policies: enforce` it is a note, and a blocker only for a Service whose pods have different callers.",
        why="One waypoint stands before all Services of a namespace, and the pods behind it see only the waypoint. "
        "Unless the waypoint itself looks at who calls what, each Service has the callers of all while it is adopted. "
        "It can, but then its agent has to read NetworkPolicies, and pods and namespaces of the whole cluster.",
        advice="set `data_plane: {policies: enforce}` and run `landbridge connect` again, accept it with a reason, or "
        "set `skip: true` for the Service",
        find=_widened,
    ),
    Check(
        name="foreign-policy",
        title="who may call whom is said by NetworkPolicies alone",
        severity=Severity.BLOCKER,
        what="A policy of Cilium, Calico, an admin or a mesh.",
        why="It may look at paths, identities or names, and it will see the waypoint in place of the caller. Nothing "
        "that landbridge could generate says the same.",
        advice="let it allow pods labelled landbridge.dev/role: waypoint (and gateway, in the namespace landbridge) by "
        "hand, then accept this with the reason",
        find=_foreign,
    ),
    Check(
        name="network-policy",
        title="the target enforces NetworkPolicies",
        severity=Severity.WARNING,
        what="A NetworkPolicy, and a target on which no network plugin known to enforce policies was found.",
        why="The API server takes every policy; whether anything obeys it depends on the plugin. On EKS the AWS plugin "
        "does so only with --enable-network-policy=true. A database open to all pods looks just like one that is not.",
        advice="switch enforcement on, or accept this with the reason",
        find=_enforced,
    ),
    Check(
        name="default-deny",
        title="the target's own policies let waypoints through",
        severity=Severity.WARNING,
        what="A NetworkPolicy that only the target has and that selects waypoints, as one for all pods of a namespace.",
        why="Copies of the source's policies come with what waypoints need; of one that only the target has nothing is "
        "known before the first requests are lost behind it.",
        advice=f"let it allow what {FILE} has for waypoints on the source",
        find=_isolated,
    ),
    Check(
        name="ip-block",
        title="policies name pods, not addresses",
        severity=Severity.WARNING,
        what="A NetworkPolicy with an ipBlock in a private network.",
        why="Pods, nodes and data stores have other addresses on the target: such a rule allows strangers or nobody.",
        advice="use selectors, or change the blocks by a patch in migration.yaml",
        find=_blocks,
    ),
)
