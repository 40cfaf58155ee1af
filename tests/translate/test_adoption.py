"""Every "not adopted" case of the waypoint's rules, and what a leaf is made of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.service import Manifest
from landbridge.translate.adoption import PROTOCOLS, adopted_pair, leaf, not_adoptable


def service(name: str = "web", **spec: Any) -> Manifest:
    full = {
        "type": "ClusterIP",
        "clusterIP": "10.0.0.9",
        "clusterIPs": ["10.0.0.9"],
        "selector": {"app": name},
        "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}],
    } | spec
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": full}


def labelled(key: str) -> Manifest:
    made = service()
    made["metadata"]["labels"] = {key: "true"}
    return made


def annotated(key: str, value: str) -> Manifest:
    made = service()
    made["metadata"]["annotations"] = {key: value}
    return made


def namespace(**labels: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": dict(labels)}}


def beside(kind: str, spec: dict[str, Any], *, where: str = "shop", **annotations: str) -> Manifest:
    meta = {"name": "other", "namespace": where, "annotations": dict(annotations)}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}


UDP = [{"name": "a", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]
SCTP = [{"port": 80, "protocol": "SCTP"}]
ALB = {"alb.ingress.kubernetes.io/target-type": "ip"}
INGRESS = {"rules": [{"http": {"paths": [{"backend": {"service": {"name": "web"}}}]}}]}


@pytest.mark.parametrize(
    ("rule", "made"),
    [
        ("headless", service(clusterIP="None")),
        ("external-name", service(type="ExternalName", externalName="a.b", selector=None)),
        ("no-selector", service(selector=None)),
        ("udp", service(ports=UDP)),
        ("sctp", service(ports=SCTP)),
        ("local-policy", service(internalTrafficPolicy="Local")),
        ("local-policy", service(type="LoadBalancer", externalTrafficPolicy="Local")),
        ("ip-target", annotated("service.beta.kubernetes.io/aws-load-balancer-nlb-target-type", "ip")),
        ("ip-target", annotated("service.beta.kubernetes.io/aws-load-balancer-type", "nlb-ip")),
        ("ip-target", annotated("cloud.google.com/neg", '{"ingress": true}')),
        ("long-name", service("w" * 59)),
        ("rollouts", service(selector={"app": "web", "rollouts-pod-template-hash": "abc"})),
        ("rollouts", annotated("argo-rollouts.argoproj.io/managed-by-rollouts", "web")),
        ("own", labelled("landbridge.dev/leaf-of")),
        ("own", labelled("mirror.linkerd.io/mirrored-service")),
    ],
)
def test_a_service_that_cannot_be_adopted_names_its_rule(rule: str, made: Manifest) -> None:
    found = not_adoptable(made)
    assert found is not None
    assert found.rule == rule
    assert found.advice
    assert "shop/" in str(found)


@pytest.mark.parametrize(
    ("rule", "neighbour"),
    [
        ("stateful-set", beside("StatefulSet", {"serviceName": "web"})),
        ("ip-target", beside("TargetGroupBinding", {"serviceRef": {"name": "web"}, "targetType": "ip"})),
        ("ip-target", beside("TargetGroupBinding", {"serviceRef": {"name": "web"}})),
        ("ip-target", beside("Ingress", INGRESS, **ALB)),
        ("flagger", beside("Canary", {"targetRef": {"name": "web"}})),
        ("rollouts", beside("Rollout", {"strategy": {"blueGreen": {"activeService": "web"}}})),
        ("rollouts", beside("Rollout", {"strategy": {"canary": {"stableService": "web"}}})),
    ],
)
def test_a_neighbour_can_forbid_it(rule: str, neighbour: Manifest) -> None:
    found = not_adoptable(service(), neighbours=[neighbour])
    assert found is not None
    assert found.rule == rule
    elsewhere = {**neighbour, "metadata": {**neighbour["metadata"], "namespace": "elsewhere"}}
    assert not_adoptable(service(), neighbours=[elsewhere]) is None
    assert not_adoptable(service("cart"), neighbours=[neighbour]) is None


@pytest.mark.parametrize(
    "neighbour",
    [
        beside("TargetGroupBinding", {"serviceRef": {"name": "web"}, "targetType": "instance"}),
        beside("Ingress", INGRESS),
        beside("StatefulSet", {"serviceName": "db"}),
        beside("Deployment", {}),
    ],
)
def test_harmless_neighbours(neighbour: Manifest) -> None:
    assert not_adoptable(service(), neighbours=[neighbour]) is None


@pytest.mark.parametrize("key", ["linkerd.io/inject", "istio-injection"])
def test_a_namespace_with_an_injected_mesh_uses_its_mesh(key: str) -> None:
    found = not_adoptable(service(), namespace=namespace(**{key: "enabled"}))
    assert found is not None
    assert found.rule == "mesh"
    assert not_adoptable(service(), namespace=namespace(**{key: "disabled"})) is None


def test_topology_forbids_only_where_there_are_zones() -> None:
    near = service(trafficDistribution="PreferClose")
    assert not_adoptable(near, zones=1) is None
    found = not_adoptable(near, zones=3)
    assert found is not None
    assert found.rule == "topology"
    hinted = annotated("service.kubernetes.io/topology-mode", "Auto")
    assert not_adoptable(hinted, zones=2) is not None
    assert not_adoptable(annotated("service.kubernetes.io/topology-mode", "Disabled"), zones=2) is None


def test_the_leafs_name_must_fit() -> None:
    assert not_adoptable(service("w" * 58)) is None
    found = not_adoptable(service("w" * 59))
    assert found is not None
    assert found.rule == "long-name"


def test_an_ordinary_service_and_a_load_balancer_with_node_targets_are_fine() -> None:
    ports = [{"port": 80, "nodePort": 30080, "targetPort": 8080}]
    assert not_adoptable(service(), namespace=namespace()) is None
    assert not_adoptable(service(type="LoadBalancer", ports=ports, externalTrafficPolicy="Cluster")) is None
    assert not_adoptable(service(sessionAffinity="ClientIP")) is None


names = st.text("abcdefghij-", min_size=1, max_size=20)
ports = st.lists(
    st.fixed_dictionaries(
        {"port": st.integers(1, 65535), "targetPort": st.one_of(names, st.integers(1, 65535)), "name": names},
        optional={"nodePort": st.integers(30000, 32767), "appProtocol": names},
    ),
    min_size=1,
    max_size=4,
)


@given(ports=ports, selector=st.dictionaries(names, names, min_size=1), labels=st.dictionaries(names, names))
def test_a_leaf_has_the_selector_and_ports_and_nothing_else(
    ports: list[dict[str, Any]], selector: dict[str, str], labels: dict[str, str]
) -> None:
    apex = service(ports=ports, selector=selector, type="NodePort", externalIPs=["1.2.3.4"])
    apex["metadata"]["labels"] = {f"own/{key}": value for key, value in labels.items()}
    made = leaf(apex, state="adopting")
    assert made["spec"]["selector"] == selector
    kept = [{key: value for key, value in port.items() if key != "nodePort"} for port in ports]
    assert made["spec"]["ports"] == kept
    assert made["spec"]["type"] == "ClusterIP"
    assert not {"clusterIP", "clusterIPs", "externalIPs", "externalName"} & set(made["spec"])
    assert set(made["metadata"]["labels"]) == {"landbridge.dev/leaf-of", "app.kubernetes.io/managed-by"}
    assert made["metadata"]["name"] == "web-leaf"
    assert apex["spec"]["selector"] == selector, "the apex given is not changed"


def test_apex_and_leaf_say_what_was_stated_of_ports() -> None:
    apex, born = adopted_pair(service(), {"80": "grpc"})
    assert [item["metadata"]["annotations"][PROTOCOLS] for item in (apex, born)] == ['{"80": "grpc"}'] * 2
    assert PROTOCOLS not in leaf(service(), state="adopting")["metadata"]["annotations"]


def test_a_copy_is_born_adopted() -> None:
    made = service()
    apex, born = adopted_pair(made)
    assert "selector" not in apex["spec"]
    assert apex["spec"]["ports"] == made["spec"]["ports"]
    assert apex["metadata"]["labels"]["mirror.linkerd.io/exported"] == "true"
    assert born["metadata"]["annotations"]["landbridge.dev/state"] == "adopted"
    assert born["spec"]["selector"] == {"app": "web"}
    assert made["spec"]["selector"] == {"app": "web"}
