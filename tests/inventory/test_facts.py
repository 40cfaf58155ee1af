"""Services, protocols, owners, features, quantities: what is read from manifests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.inventory.objects import digest, find_version, is_ours
from landbridge.inventory.owners import owners_of
from landbridge.inventory.platform import find_features, read_node, used
from landbridge.inventory.reading import Reading
from landbridge.inventory.services import find_services, find_workloads, protocol_of
from landbridge.model.manifest import quantity, ref_of, requests, selects, text_of
from landbridge.model.service import ObjectRef, Protocol
from tests.assess.world import container, deployment, service, thing

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        ({"name": "http"}, Protocol.HTTP),
        ({"name": "http-metrics"}, Protocol.HTTP),
        ({"name": "https"}, Protocol.TCP),
        ({"name": "grpc-api"}, Protocol.GRPC),
        ({"name": "db", "appProtocol": "kubernetes.io/h2c"}, Protocol.HTTP),
        ({"name": "http", "appProtocol": "tcp"}, Protocol.TCP),
        ({}, Protocol.TCP),
        ({"name": "http", "protocol": "UDP"}, Protocol.UDP),
    ],
)
def test_protocols(port: dict[str, str], protocol: Protocol) -> None:
    assert protocol_of(port) is protocol


def test_services_find_their_workloads() -> None:
    owned = deployment(
        "web", kind="ReplicaSet", meta={"ownerReferences": [{"controller": True, "kind": "D", "name": "w"}]}
    )
    other = deployment("web")
    other["metadata"]["namespace"] = "elsewhere"
    objects = [
        deployment("web"),
        owned,
        other,
        service("web"),
        service("all", selector={}),
        service("no", selector=None),
    ]
    found = {str(s.id): [str(ref) for ref in s.workloads] for s in find_services(objects, find_workloads(objects))}
    assert found == {"shop/web": ["Deployment shop/web"], "shop/all": [], "shop/no": []}


def test_owners() -> None:
    item = deployment(
        "web",
        meta={
            "annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"},
            "labels": {"kustomize.toolkit.fluxcd.io/name": "apps"},
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update"},
                {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-20T10:00:00Z"},
                {"manager": "argocd-controller", "operation": "Apply"},
                {"manager": "deployer", "operation": "Update", "subresource": "status"},
            ],
        },
    )
    assert [(owner.by, owner.evidence) for owner in owners_of(item)] == [
        ("argocd", "application shop"),
        ("flux", "kustomize apps"),
        ("kubectl-edit", "field manager kubectl-edit, 2026-11-20T10:00:00Z"),
    ]


def test_features() -> None:
    served = {"metrics.k8s.io/PodMetrics": ("v1beta1",), "gateway.networking.k8s.io/HTTPRoute": ("v1",)}
    plain = deployment("aws-node", container(args=["--enable-network-policy=false"]), kind="DaemonSet")
    strict = deployment("aws-node", container(args=["--enable-network-policy=true"]), kind="DaemonSet")
    assert find_features(served, [plain]) == ("gateway-api", "metrics-api")
    assert find_features({}, [strict]) == ("networkpolicy-enforced",)
    assert find_features({}, [deployment("cilium", kind="DaemonSet")]) == ("networkpolicy-enforced",)


def test_room() -> None:
    node = thing("Node", "n", "", status={"allocatable": {"cpu": "1930m", "memory": "7Gi", "pods": "17"}})
    assert (read_node(node).cpu, read_node(node).memory, read_node(node).pods) == (1.93, 7 * 1024**3, 17)
    assert read_node({**node, "spec": {"unschedulable": True}}).pods == 0
    asks = container(resources={"requests": {"cpu": "100m", "memory": "1Mi"}})
    init = container(resources={"requests": {"cpu": "1"}})
    assert requests({"containers": [asks, asks], "initContainers": [init]}) == (1.0, 2 * 1024**2)
    pods = [thing("Pod", "a", spec={"containers": [asks]}), thing("Pod", "b", spec={}, status={"phase": "Succeeded"})]
    assert used(pods) == {"cpu": 0.1, "memory": 1024.0**2, "pods": 1.0}


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", 0.5), ("1Gi", 2**30), ("2", 2), (3, 3), ("1e3", 1000), ("1k", 1000), (None, 0), ("x", 0)],
)
def test_quantities(text: object, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@given(st.text() | st.none() | st.integers())
def test_any_quantity_is_a_number(text: object) -> None:
    assert isinstance(quantity(text), float)


def test_label_selectors() -> None:
    marks = {"app": "web", "tier": "front"}
    rules = [
        {"key": "app", "operator": "In", "values": ["web"]},
        {"key": "tier", "operator": "NotIn", "values": ["back"]},
        {"key": "app", "operator": "Exists"},
        {"key": "gone", "operator": "DoesNotExist"},
    ]
    assert selects({"matchLabels": {"app": "web"}, "matchExpressions": rules}, marks)
    assert selects({}, marks)
    assert not selects(None, marks)
    assert not selects({"matchExpressions": [{"key": "gone", "operator": "Exists"}]}, marks)


def test_references_read_back() -> None:
    for ref in (ObjectRef("v1", "Namespace", "", "shop"), ObjectRef("apps/v1", "Deployment", "shop", "web")):
        assert ref_of(text_of(ref)) == ref


def test_files_have_no_values_of_secrets_and_no_bookkeeping() -> None:
    secret = thing(
        "Secret", "s", data={"a": "aHVudGVyMg=="}, stringData={"b": "hunter2"},
        meta={"uid": "u", "resourceVersion": "1", "annotations": {APPLIED: '{"data": "aHVudGVyMg=="}'}},
    )  # fmt: skip
    reading: Reading[str] = Reading(frozenset({"shop"}), lambda item: item["metadata"]["uid"])
    assert list(reading.distinct([[reading.take(secret)], [secret]])) == [secret], "the same in another API group"
    assert reading.seal([secret]) == [(secret, "u")]
    assert "hunter2" not in str(secret)
    assert "aHVudGVyMg" not in str(secret)
    assert secret["data"] == {"a": None, "b": None}
    assert set(secret["metadata"]) == {"name", "namespace"}


@given(st.dictionaries(st.text(), st.text()), st.text(), st.text())
def test_digests_tell_data_and_objects_apart(data: dict[str, str], uid: str, other: str) -> None:
    assert digest(data, uid) == digest(dict(reversed(data.items())), uid)
    assert digest(data, uid) != digest({**data, "one more": ""}, uid)
    if uid.strip("\0") != other.strip("\0"):
        assert digest(data, uid) != digest(data, other)


def test_versions_that_people_wrote() -> None:
    written = {"annotations": {APPLIED: '{"apiVersion":"networking.k8s.io/v1beta1","kind":"Ingress"}'}}
    same = {"annotations": {APPLIED: '{"apiVersion":"v1","kind":"ConfigMap"}'}}
    assert find_version(thing("Ingress", "edge", meta=written)) == "networking.k8s.io/v1beta1"
    assert not find_version(thing("ConfigMap", "c", meta=same))


def test_what_we_applied() -> None:
    ours = deployment("web", meta={"managedFields": [{"manager": "landbridge", "operation": "Apply"}]})
    theirs = deployment("api", meta={"managedFields": [{"manager": "helm", "operation": "Apply"}]})
    assert [is_ours(ours), is_ours(theirs)] == [True, False]


def test_what_does_not_move_is_left_out() -> None:
    reading: Reading[bool] = Reading(frozenset({"shop"}), is_ours)
    mine, other = thing("ConfigMap", "c"), thing("ConfigMap", "c", "else")
    wide, space = thing("StorageClass", "fast", ""), thing("Namespace", "else", "")
    assert list(reading.distinct([[reading.take(item) for item in (mine, other, wide, space)]])) == [mine, wide]
