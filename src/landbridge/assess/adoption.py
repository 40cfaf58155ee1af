"""Services that a waypoint cannot stand in front of: one check for each rule of `translate.adoption`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from landbridge.assess.check import Check, Find, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity


class Rule(NamedTuple):
    """A rule's texts."""

    rule: str
    name: str
    title: str
    why: str


RULES = (
    Rule(
        "headless",
        "headless-service",
        "services have a cluster address",
        "A headless Service gives its callers the pods' own addresses, and they dial the pods' own ports: after "
        "adoption they would dial the waypoint on a port that it does not have.",
    ),
    Rule(
        "external-name",
        "external-name",
        "services are more than an alias",
        "An ExternalName Service is a name in DNS. There are no endpoints that could be put in another place.",
    ),
    Rule(
        "no-selector",
        "no-selector",
        "services select their pods",
        "Endpoints without a selector are kept by a person or a program; both would fight with the waypoint's slice.",
    ),
    Rule(
        "stateful-set",
        "stateful-set-service",
        "services do not name the pods of a StatefulSet",
        "Callers of a governing Service use names of single pods (`db-0.db`). Such names vanish when the Service is "
        "adopted.",
    ),
    Rule(
        "udp",
        "udp-port",
        "services have no UDP port",
        "Adoption takes all ports of a Service or none. With only the HTTP port mapped, UDP to the same Service was "
        "refused in a trial on two real clusters.",
    ),
    Rule(
        "sctp",
        "sctp-port",
        "services have no SCTP port",
        "Adoption takes all ports of a Service or none, and Envoy does not proxy SCTP.",
    ),
    Rule(
        "local-policy",
        "local-traffic-policy",
        "services may be answered from any node",
        "With internalTrafficPolicy or externalTrafficPolicy Local, cluster addresses and node ports of nodes without "
        "a waypoint time out; seen on a real cluster.",
    ),
    Rule(
        "topology",
        "topology-aware",
        "services do not keep traffic in its zone",
        "Hints keep traffic in a zone only while enough endpoints are in it. Two waypoints in three zones either lose "
        "the hints or carry one zone's traffic for all.",
    ),
    Rule(
        "ip-target",
        "ip-target-load-balancer",
        "no load balancer dials pods of the services",
        "A load balancer with IP targets registers pods itself. On adoption the waypoints are new targets, `initial` "
        "while the old ones are deregistered: for seconds there are none.",
    ),
    Rule(
        "long-name",
        "name-length",
        "service names leave room for -leaf",
        "The name of a Service's leaf (`<service>-leaf`) is a DNS label: at most 63 characters. A mirror whose name "
        "would be longer gets a short one (`mirror-name`); Linkerd's has to fit as it is.",
    ),
    Rule(
        "mesh",
        "injected-mesh",
        "namespaces have no injected mesh",
        "Two proxies in one request path that both choose the endpoint: the mesh would balance over waypoints and lose "
        "its own identity checks.",
    ),
    Rule(
        "rollouts",
        "argo-rollouts",
        "services are not switched by Argo Rollouts",
        "Argo Rollouts changes the Service's selector at each release. A leaf with the old selector runs empty then.",
    ),
    Rule(
        "flagger",
        "flagger",
        "services are not switched by Flagger",
        "Flagger makes and rewrites the Service and its primary: two programs that shift the same traffic.",
    ),
)
ADVICE = "route it at the edge, change it as the message says, or set `skip: true` for it in migration.yaml"
STAYS = "; it is skipped, so callers that have moved cannot reach it by this name"


def _find(rule: str) -> Find:
    def find(facts: Facts) -> Iterator[Seen]:
        for service, refusal in sorted(facts.refusals.items()):
            if refusal.rule != rule:
                continue
            if facts.migration.service(service).skip:
                yield Seen(f"Service {service}", refusal.message + STAYS, refusal.advice, Severity.WARNING)
            else:
                yield Seen(f"Service {service}", refusal.message, refusal.advice)

    return find


def _find_others(facts: Facts) -> Iterator[Seen]:
    known = {rule.rule for rule in RULES}
    for service, refusal in sorted(facts.refusals.items()):
        if refusal.rule not in known:
            yield Seen(f"Service {service}", refusal.message, refusal.advice)


CHECKS = (
    *(
        Check(
            name=rule.name,
            title=rule.title,
            severity=Severity.BLOCKER,
            what="A Service whose traffic landbridge cannot divide inside the cluster: it is not adopted.",
            why=rule.why,
            advice=ADVICE,
            find=_find(rule.rule),
        )
        for rule in RULES
    ),
    Check(
        name="adoptable",
        title="services can be adopted",
        severity=Severity.BLOCKER,
        what="A Service that cannot be adopted for a reason that has no page of its own; the message names it.",
        why="Adoption that half works loses requests, so every doubt is a refusal.",
        advice=ADVICE,
        find=_find_others,
    ),
)
