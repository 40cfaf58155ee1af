"""Definitions of Linkerd's and its neighbours' kinds, version by version: fields and rules that an API server checks.

Our own, with the fields that matter here: those of the charts of 2.14 to 2.20, of SMI and of Gateway API. Whatever
field is not named is unknown to an API server, which refuses it when it is asked strictly.
"""

from __future__ import annotations

from typing import Any

from landbridge.model.service import Manifest

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
KEPT: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
MINORS = (14, 15, 16, 17, 18, 19, 20)
BUNDLES = {14: "v0.7.1", 15: "v0.7.1", 16: "v1.1.1", 17: "v1.1.1", 18: "v1.1.1", 19: "v1.2.1", 20: "v1.3.0"}


def record(required: tuple[str, ...] = (), /, **fields: Schema) -> Schema:
    found: Schema = {"type": "object", "properties": fields}
    return found | ({"required": list(required)} if required else {})


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def selector() -> Schema:
    operator = {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]}
    rule = record(("key", "operator"), key=TEXT, operator=operator, values=many(TEXT))
    return record(matchLabels=KEPT, matchExpressions=many(rule))


def link(api: str, minor: int) -> Schema:
    new = minor >= 17
    duration: Schema = {"type": "string", "format": "duration"} if new else TEXT
    probe = {"path": TEXT, "port": TEXT, "period": duration}
    if new:
        probe |= {"timeout": duration | {"default": "30s"}, "failureThreshold": TEXT | {"default": "3"}}
    names = ("targetClusterName", "targetClusterDomain", "targetClusterLinkerdNamespace", "clusterCredentialsSecret")
    fields = dict.fromkeys((*names, "gatewayAddress", "gatewayPort", "gatewayIdentity"), TEXT)
    fields |= {"probeSpec": record(**probe), "selector": selector(), "remoteDiscoverySelector": selector()}
    if api != "v1alpha1":
        fields["federatedServiceSelector"] = selector()
    if api == "v1alpha3":
        fields |= {"excludedAnnotations": many(TEXT), "excludedLabels": many(TEXT)}
    return record(spec=record(**fields), status=KEPT)


def route(*, timeouts: bool) -> Schema:
    parent = record(("name",), group=TEXT, kind=TEXT, name=TEXT, namespace=TEXT, port=WHOLE, sectionName=TEXT)
    weight = {"type": "integer", "minimum": 0, "maximum": 1_000_000, "default": 1}
    backend = record(
        ("name",), group=TEXT, kind=TEXT | {"default": "Service"}, name=TEXT, namespace=TEXT, port=WHOLE, weight=weight,
        filters=many(KEPT),
    )  # fmt: skip
    rule = {"backendRefs": many(backend), "matches": many(KEPT), "filters": many(KEPT)}
    if timeouts:
        rule["timeouts"] = record(request=TEXT, backendRequest=TEXT)
    condition = record(
        ("type", "status"), type=TEXT, status=TEXT, reason=TEXT, message=TEXT, observedGeneration=WHOLE,
        lastTransitionTime=TEXT,
    )  # fmt: skip
    told = record(("controllerName", "parentRef"), controllerName=TEXT, parentRef=parent, conditions=many(condition))
    spec = record(parentRefs=many(parent), hostnames=many(TEXT), rules=many(record(**rule)))
    return record(("spec",), spec=spec, status=record(parents=many(told)))


def profile() -> Schema:
    override = record(("authority", "weight"), authority=TEXT, weight={"x-kubernetes-int-or-string": True})
    budget = record(retryRatio=NUMBER, minRetriesPerSecond=WHOLE, ttl=TEXT)
    one = record(("name", "condition"), name=TEXT, condition=KEPT, isRetryable={"type": "boolean"}, timeout=TEXT)
    spec = record(dstOverrides=many(override), routes=many(one), retryBudget=budget, opaquePorts=many(TEXT))
    return record(("spec",), spec=spec)


def split(weight: Schema) -> Schema:
    backend = record(("service",), service=TEXT, weight=weight)
    return record(("spec",), spec=record(("service", "backends"), service=TEXT, backends=many(backend)))


def define(group: str, kind: str, plural: str, versions: list[tuple[str, Schema]], *, status: bool = False) -> Manifest:
    """The last version is the stored one."""
    made = [
        {"name": name, "served": True, "storage": name == versions[-1][0], "schema": {"openAPIV3Schema": schema}}
        | ({"subresources": {"status": {}}} if status else {})
        for name, schema in versions
    ]
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    meta: dict[str, Any] = {"name": f"{plural}.{group}"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": meta,
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": made},
    }


def links(minor: int) -> Manifest:
    apis = (
        ["v1alpha1"]
        if minor < 17
        else ["v1alpha1", "v1alpha2"]
        if minor == 17
        else ["v1alpha1", "v1alpha2", "v1alpha3"]
    )
    return define(
        "multicluster.linkerd.io", "Link", "links", [(api, link(api, minor)) for api in apis], status=minor > 16
    )


def splits() -> Manifest:
    either: Schema = {"x-kubernetes-int-or-string": True}
    versions = [("v1alpha2", split(NUMBER)), ("v1alpha1", split(either))]
    return define("split.smi-spec.io", "TrafficSplit", "trafficsplits", versions)


def gateway_routes(minor: int) -> Manifest:
    """As 2.14 to 2.17 bring them, as 2.18 may, and as people install them for 2.19 and 2.20."""
    bundle = BUNDLES[minor]
    approved = "https://github.com/kubernetes-sigs/gateway-api/pull/1923"
    apis = [("v1beta1", route(timeouts=bundle != "v0.7.1"))]
    if bundle != "v0.7.1":
        apis = [("v1beta1", route(timeouts=True)), ("v1", route(timeouts=True))]
    made = define("gateway.networking.k8s.io", "HTTPRoute", "httproutes", apis, status=True)
    notes = {"gateway.networking.k8s.io/bundle-version": bundle, "api-approved.kubernetes.io": approved}
    made["metadata"]["annotations"] = notes
    return made


def policy_routes() -> Manifest:
    apis = [(api, route(timeouts=api == "v1beta3")) for api in ("v1beta2", "v1beta3")]
    return define("policy.linkerd.io", "HTTPRoute", "httproutes", apis, status=True)


def profiles() -> Manifest:
    return define("linkerd.io", "ServiceProfile", "serviceprofiles", [("v1alpha2", profile())])


def definitions(minor: int, *, gateway_api: bool = True, smi: bool = True) -> list[Manifest]:
    """All that a cluster with this version has."""
    made = [links(minor), policy_routes(), profiles()]
    return made + ([gateway_routes(minor)] if gateway_api else []) + ([splits()] if smi else [])
