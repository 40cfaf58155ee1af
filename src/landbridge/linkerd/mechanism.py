"""Which object divides the traffic of a Service in a cluster with Linkerd: one an apex and cluster, never two (pure).

Gateway API's HTTPRoute where this Linkerd obeys the one that is installed, else Linkerd's own HTTPRoute, else
TrafficSplit with the adaptor. Routes do nothing for TCP, and a rule of theirs cannot say to which port of the Service
it belongs: so a Service with a TCP port or with several needs TrafficSplit or a ServiceProfile. A ServiceProfile with
routes beats every HTTPRoute, so then its own overrides are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landbridge.linkerd.versions import GATEWAY_ROUTES, OLDEST, POLICY_ROUTES, PROFILES, SPLITS, supports, version_of
from landbridge.model.linkerd import Linkerd
from landbridge.model.manifest import NONE, annotations_of, labels_of, name_of, namespace_of
from landbridge.model.service import Manifest, ObjectRef, Protocol, ServiceId

MANAGED_BY = "app.kubernetes.io/managed-by"
DRIVEN = "landbridge.dev/drives"
"""On a ServiceProfile of somebody else's whose overrides landbridge writes."""

BY_VERSION = {"v1": "httproute", "v1beta1": "httproute-v1beta1"}
POLICY, TRAFFICSPLIT, SERVICEPROFILE = "httproute-linkerd", "trafficsplit", "serviceprofile"
_ROUTES = frozenset({"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"})


@dataclass(frozen=True, slots=True)
class Choice:
    """The router that divides a Service in one cluster, by its name in the routers' table, and why that one."""

    router: str
    why: str


@dataclass(frozen=True, slots=True)
class No:
    """Why no router can: what was seen, where, and what to do now."""

    what: str
    where: str
    advice: str


def choose(
    linkerd: Linkerd, service: ServiceId, protocols: Sequence[Protocol], objects: Iterable[Manifest]
) -> Choice | No:
    """The mechanism for a Service, by the protocol of each of its ports.

    `objects` are the splits, routes and profiles of its namespace.
    """
    if linkerd.minor < OLDEST:
        advice = f"upgrade to 2.{OLDEST} or newer, or set dataPlane.plane: builtin"
        return No(f"Linkerd {linkerd.version or '(no version)'} is older than what landbridge drives", "", advice)
    nearby = [item for item in objects if namespace_of(item) == service.namespace]
    if standing := [item for item in nearby if _is_ours(item) and _concerns(item, service, linkerd.domain)]:
        return Choice(router_of(standing[0], linkerd), f"{ObjectRef.of(standing[0])} stands already")
    if no := _foreign(nearby, service, linkerd.domain):
        return no
    profile = _profile(nearby, service, linkerd.domain)
    if profile and (profile.get("spec") or NONE).get("routes"):
        return Choice(SERVICEPROFILE, f"{ObjectRef.of(profile)} has routes, which beat every HTTPRoute")
    return _among(linkerd, _beyond_routes(protocols))


def _beyond_routes(protocols: Sequence[Protocol]) -> str:
    """Why no route can divide these ports; empty when one can."""
    if Protocol.TCP in protocols:
        return ", and a route does nothing for TCP"
    return ", and a route cannot tell several ports apart" if len(protocols) > 1 else ""


def _among(linkerd: Linkerd, beyond: str) -> Choice | No:
    """By what is installed; `beyond` says why a route is out of the question."""
    if not beyond and (route := gateway_route(linkerd)):
        return Choice(BY_VERSION[route], f"Linkerd {linkerd.version} obeys HTTPRoute {route} of Gateway API")
    if not beyond and "v1beta3" in linkerd.served.get(POLICY_ROUTES, ()):
        return Choice(POLICY, f"Linkerd {linkerd.version} obeys its own HTTPRoute v1beta3")
    if linkerd.adaptor and "v1alpha2" in linkerd.served.get(SPLITS, ()):
        return Choice(TRAFFICSPLIT, f"the SMI adaptor is ready{beyond}")
    if "v1alpha2" in linkerd.served.get(PROFILES, ()):
        return Choice(SERVICEPROFILE, f"there is no adaptor{beyond}")
    advice = "install Linkerd's own definitions (`linkerd install --crds`)"
    return No("neither HTTPRoute nor ServiceProfile is defined", "", advice)


def gateway_route(linkerd: Linkerd) -> str:
    """The version of Gateway API's HTTPRoute that this Linkerd reads here; empty where it would not be obeyed."""
    known = version_of(linkerd.minor)
    if known is None or known.route not in linkerd.served.get(GATEWAY_ROUTES, ()):
        return ""
    return known.route if supports(known, linkerd.bundle) else ""


def router_of(manifest: Manifest, linkerd: Linkerd) -> str:
    """The router that drives an object of this kind; of Gateway API's, the version that this Linkerd reads."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    match manifest["kind"]:
        case "HTTPRoute" if group == "policy.linkerd.io":
            return POLICY
        case "HTTPRoute":
            return BY_VERSION.get(gateway_route(linkerd) or version, "httproute")
        case "TrafficSplit":
            return TRAFFICSPLIT
        case _:
            return SERVICEPROFILE


def profile_name(service: ServiceId, domain: str) -> str:
    """What the ServiceProfile of a Service is called: its full name, or nobody asks for it."""
    return f"{service.name}.{service.namespace}.svc.{domain}"


def _profile(nearby: Iterable[Manifest], service: ServiceId, domain: str) -> Manifest | None:
    wanted = profile_name(service, domain)
    return next((item for item in nearby if item["kind"] == "ServiceProfile" and name_of(item) == wanted), None)


def _is_ours(item: Manifest) -> bool:
    return labels_of(item).get(MANAGED_BY) == "landbridge" or DRIVEN in annotations_of(item)


def _concerns(item: Manifest, service: ServiceId, domain: str) -> bool:
    """Whether an object divides this Service's traffic."""
    spec = item.get("spec") or NONE
    match item["kind"]:
        case "TrafficSplit":
            return bool(spec.get("service") == service.name)
        case "ServiceProfile":
            return name_of(item) == profile_name(service, domain)
        case kind if kind in _ROUTES:
            return any(_is_parent(parent, service) for parent in spec.get("parentRefs") or ())
        case _:
            return False


def _is_parent(parent: Mapping[str, Any], service: ServiceId) -> bool:
    place = (parent.get("kind"), parent.get("name"), parent.get("namespace") or service.namespace)
    return place == ("Service", service.name, service.namespace)


def _foreign(nearby: Iterable[Manifest], service: ServiceId, domain: str) -> No | None:
    """Somebody else divides this Service already: two mechanisms would fight, and only one is obeyed."""
    for item in nearby:
        if _is_ours(item) or not _concerns(item, service, domain):
            continue
        place = str(ObjectRef.of(item))
        if item["kind"] != "ServiceProfile":
            advice = "take it away for the migration, or leave the service out (skip: true)"
            return No(f"{place} divides the traffic of {service} already and is not landbridge's", place, advice)
        if (item.get("spec") or NONE).get("dstOverrides"):
            advice = "take its dstOverrides away: a TrafficSplit deleted while the adaptor was down leaves them behind"
            return No(f"{place} sends {service} elsewhere already (dstOverrides)", place, advice)
    return None
