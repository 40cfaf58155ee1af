from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent import names
from landbridge.agent.likeness import COPIED, is_own, wanted_mirror
from landbridge.agent.links import Link
from landbridge.agent.mirrors import Create, Delete, Here, Skip, Update, plan
from landbridge.model.service import Manifest
from tests.agent.objects import mirror, service

LINK = Link(cluster="eks", gateways=("10.90.0.12:15443",), identity="spiffe://eks/ns/landbridge/sa/landbridge-gateway")
EXPORTED = {names.EXPORTED: "true"}


def changes(remote: list[Manifest], local: list[Manifest], in_use: set[tuple[str, str]] | None = None) -> list[object]:
    by_key = {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in local}
    return list(plan(LINK, remote, Here(services=by_key, namespaces={"shop"}, in_use=in_use or set())))


def settled(item: Manifest) -> Manifest:
    """A mirror as it stands in the cluster after it was written."""
    return item | {"metadata": item["metadata"] | {"resourceVersion": "9"}}


def test_a_mirror_is_named_and_labelled_as_the_field_does_it() -> None:
    item = wanted_mirror(service("orders", labels=EXPORTED | {"team": "x"}), LINK)
    meta = item["metadata"]
    assert meta["name"] == "orders-eks"
    assert meta["labels"][names.MIRRORED] == "true"
    assert meta["labels"][names.CLUSTER_NAME] == "eks"
    assert meta["labels"]["team"] == "x"
    assert names.EXPORTED not in meta["labels"], "a mirror must never be exported again"
    assert meta["annotations"][names.REMOTE_NAME] == "orders.shop.svc.cluster.local"
    assert json.loads(meta["annotations"][names.GATEWAYS]) == ["10.90.0.12:15443"]
    assert "selector" not in item["spec"]


def test_what_other_controllers_act_upon_is_not_copied() -> None:
    """linkerd2#11358: copied tracking labels made Argo CD and the mirror fight for ever."""
    notes = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "argocd.argoproj.io/tracking-id": "x",
        "meta.helm.sh/release-name": "x",
        "external-dns.alpha.kubernetes.io/hostname": "x",
        "service.beta.kubernetes.io/aws-load-balancer-type": "nlb",
        "prometheus.io/scrape": "true",
        "landbridge.dev/ports": "{}",
        "team.example/contact": "us",
    }
    labels = EXPORTED | {"app.kubernetes.io/managed-by": "Helm", "argocd.argoproj.io/instance": "shop"}
    item = wanted_mirror(service("orders", labels=labels, annotations=notes), LINK)
    assert item["metadata"]["annotations"]["team.example/contact"] == "us"
    ours = {names.REMOTE_NAME, names.REMOTE_IDENTITY, names.GATEWAYS, "mirror.linkerd.io/remote-resource-version"}
    ours |= {COPIED}
    assert set(item["metadata"]["annotations"]) == ours | {"team.example/contact"}
    assert item["metadata"]["labels"][names.MANAGED_BY] == "landbridge"


def test_ports_lose_what_belongs_to_the_other_cluster() -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "web", "nodePort": 30080, "appProtocol": "http"}]
    item = wanted_mirror(service("orders", ports=ports), LINK)
    want = {"name": "http", "port": 80, "targetPort": 80, "protocol": "TCP", "appProtocol": "http"}
    assert item["spec"] == {"ports": [want]}


def test_a_mirror_speaks_what_people_have_stated_of_its_service() -> None:
    item = wanted_mirror(service("orders", annotations={names.PROTOCOLS: '{"80": "grpc"}'}), LINK)
    assert item["metadata"]["annotations"][names.PROTOCOLS] == '{"80": "grpc"}'
    assert names.PROTOCOLS not in wanted_mirror(service("orders"), LINK)["metadata"]["annotations"]


def test_nothing_is_written_when_nothing_changed() -> None:
    remote = service("orders", labels=EXPORTED)
    (first,) = changes([remote], [])
    assert isinstance(first, Create)
    assert changes([remote], [settled(first.manifest)]) == []


def test_a_service_of_a_user_with_that_name_is_never_touched() -> None:
    """linkerd.md A19 and 1.16 point 5."""
    users = service("orders-eks", selector={"app": "twin"})
    (found,) = changes([service("orders", labels=EXPORTED)], [users])
    assert isinstance(found, Skip)
    assert "not ours" in found.reason
    assert changes([], [users]) == []


def test_mirrors_of_another_cluster_or_another_tool_are_never_deleted() -> None:
    other = mirror("orders", "gcp")
    linkerds = mirror("cart", "eks")
    del linkerds["metadata"]["labels"][names.MANAGED_BY]
    assert changes([], [other, linkerds]) == []
    assert not is_own(linkerds, "eks")


def test_what_is_no_longer_exported_goes_unless_traffic_goes_there() -> None:
    item = mirror("orders")
    assert changes([], [item]) == [Delete(namespace="shop", name="orders-eks", version="1")]
    (kept,) = changes([], [item], {("shop", "orders-eks")})
    assert isinstance(kept, Skip)


def test_what_cannot_be_mirrored_is_skipped_with_a_reason() -> None:
    alias = service("alias", labels=EXPORTED, type="ExternalName", externalName="a.example")
    portless = service("none", labels=EXPORTED, ports=[])
    elsewhere = service("web", "unknown", labels=EXPORTED)
    found = {item.name: item.reason for item in changes([alias, portless, elsewhere], []) if isinstance(item, Skip)}
    assert found == {
        "alias-eks": "ExternalName Services are not mirrored",
        "none-eks": "it has no ports",
        "web-eks": "the namespace does not exist here, or does not move",
    }


def test_a_selector_that_somebody_gave_a_mirror_is_taken_away() -> None:
    remote = service("orders", labels=EXPORTED)
    (first,) = changes([remote], [])
    assert isinstance(first, Create)
    touched = settled(first.manifest)
    touched["spec"] = touched["spec"] | {"selector": {"app": "x"}}
    (found,) = changes([remote], [touched])
    assert isinstance(found, Update)
    assert found.patch == {"spec": {"selector": None}}


services = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True)


@given(services, services)
def test_planning_twice_changes_nothing(remote: list[str], local: list[str]) -> None:
    exported = [service(name, labels=EXPORTED) for name in remote]
    have = {("shop", f"{name}-eks"): mirror(name) for name in local}
    for change in plan(LINK, exported, Here(services=have, namespaces={"shop"})):
        match change:
            case Create(manifest=manifest):
                have[("shop", manifest["metadata"]["name"])] = settled(manifest)
            case Delete(name=name):
                del have[("shop", name)]
            case Update(name=name):
                have[("shop", name)] = settled(wanted_mirror(service(name.removesuffix("-eks"), labels=EXPORTED), LINK))
            case Skip():
                raise AssertionError("nothing here is to be skipped")
    assert {name for _, name in have} == {f"{name}-eks" for name in remote}
    assert plan(LINK, exported, Here(services=have, namespaces={"shop"})) == []
