"""Who else reads or dials a Service beside its callers: monitors, ingresses, routes, load balancers, webhooks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.assess.network import get_protocol
from landbridge.model.inventory import Severity
from landbridge.model.manifest import NONE, Fields, annotations_of, labels_of, namespace_of, selects, subject
from landbridge.model.service import Manifest, Protocol, ServiceId

_MONITORS = frozenset({"ServiceMonitor", "VMServiceScrape"})
_ROUTES = frozenset({"HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute"})
_WEBHOOKS = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
_READING = sorted(_MONITORS | _ROUTES | _WEBHOOKS | {"TargetGroupBinding", "APIService"})


def _readers(facts: Facts) -> Iterator[Seen]:
    known = {service.id for service, _ in facts.services}
    readers: dict[ServiceId, set[str]] = defaultdict(set)
    for service, item in facts.services:
        if annotations_of(item).get("prometheus.io/scrape") == "true":
            readers[service.id].add("Prometheus (prometheus.io/scrape)")
    for edge in facts.inventory.edges:
        if edge.caller.kind == "Ingress":
            readers[edge.callee].add(str(edge.caller))
    for item in facts.each(*_READING):
        for service_id in _read(facts, item):
            readers[service_id].add(subject(item))
    for service_id, who in sorted(readers.items()):
        if service_id in known:
            yield Seen(f"Service {service_id}", f"is also read by {', '.join(sorted(who))}")


def _read(facts: Facts, item: Manifest) -> Iterator[ServiceId]:
    """The Services that an object of one of these kinds reads or dials."""
    kind, spec, own = item["kind"], item.get("spec") or NONE, namespace_of(item)
    if kind in _MONITORS:
        yield from _monitored(facts, spec, own)
    elif kind == "TargetGroupBinding":
        yield ServiceId(own, str((spec.get("serviceRef") or NONE).get("name") or ""))
    elif kind in _ROUTES:
        for ref in (ref for rule in spec.get("rules") or () for ref in rule.get("backendRefs") or ()):
            if ref.get("kind", "Service") == "Service":
                yield ServiceId(str(ref.get("namespace") or own), str(ref.get("name")))
    elif kind == "APIService":
        yield from _named(spec.get("service"))
    elif kind in _WEBHOOKS:
        for hook in item.get("webhooks") or ():
            yield from _named((hook.get("clientConfig") or NONE).get("service"))


def _monitored(facts: Facts, spec: Fields, own: str) -> Iterator[ServiceId]:
    """The Services whose labels a monitor selects, in its own namespace or in those that it names."""
    where = spec.get("namespaceSelector") or NONE
    selector = spec.get("selector") or NONE
    for service, item in facts.services:
        space = service.id.namespace
        here = where.get("any") or space in (where.get("matchNames") or (own,))
        if here and selector and selects(selector, labels_of(item)):
            yield service.id


def _named(service: Fields | None) -> Iterator[ServiceId]:
    if service:
        yield ServiceId(str(service.get("namespace")), str(service.get("name")))


def _addresses(facts: Facts) -> Iterator[Seen]:
    for service, item in facts.services:
        whole = [str(port.port) for port in service.ports if get_protocol(facts, service.id, port) is Protocol.TCP]
        if whole and service.id not in facts.refusals:
            yield Seen(subject(item), f"sees waypoints instead of its callers on port {', '.join(whole)}")


CHECKS = (
    Check(
        name="service-reader",
        title="it is known who else reads a Service",
        severity=Severity.NOTE,
        what="A Service that an Ingress, a route of Gateway API, a load balancer's TargetGroupBinding, a webhook, an "
        "APIService, a monitor or a scrape annotation refers to.",
        why="After adoption its endpoints are the waypoint's. A monitor that scrapes endpoints gets the waypoint's "
        "answer twice instead of each pod's own; an ingress controller that dials endpoints dials waypoints.",
        advice="let monitors scrape <service>-leaf or the pods; what dials the Service by its name needs nothing",
        find=_readers,
    ),
    Check(
        name="caller-address",
        title="nothing depends on the address of a caller",
        severity=Severity.NOTE,
        what="A port whose connections are passed on as they are, because nothing says that it speaks HTTP.",
        why="The address that pods see becomes the waypoint's. For HTTP the caller's is in X-Forwarded-For; for other "
        "protocols it is nowhere. Lists of allowed addresses (pg_hba.conf), limits and lockouts by address see two "
        "clients where there were many.",
        advice="set `skip: true` for a service that decides by its callers' addresses",
        find=_addresses,
    ),
)
