"""Who calls whom: what counts as a host's name, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.inventory.graph import hosts
from landbridge.model.inventory import Edge
from landbridge.model.service import Manifest, ServiceId
from landbridge.plan.order import STRONG
from tests.assess.world import container, cronjob, deployment, inventory, service, thing

NAMES = {
    space: {name: ServiceId(space, name) for name in names}
    for space, names in {"shop": ("cart", "web", "stock"), "billing": ("invoices",)}.items()
}


def named(text: str, key: str = "X") -> list[str]:
    return [str(found) for found in hosts(text, "shop", NAMES, key=key)]


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("http://cart", "X", ["shop/cart"]),
        ("http://cart:8080/path", "X", ["shop/cart"]),
        ("postgres://user:pw@stock/db", "X", ["shop/stock"]),
        ("cart:80,stock:90", "X", ["shop/cart", "shop/stock"]),
        ("cart", "CART_HOST", ["shop/cart"]),
        ("cart", "cartServiceUrl", ["shop/cart"]),
        ("cart", "MODE", []),
        ("the cart is full", "TEXT_URL", []),
        ("invoices.billing", "X", ["billing/invoices"]),
        ("https://invoices.billing.svc.cluster.local:443/", "X", ["billing/invoices"]),
        ("https://invoices.billing.svc", "X", ["billing/invoices"]),
        ("https://invoices.billing.example.com", "X", []),
        ("http://invoices", "X", []),
        ("http://cart.example.com", "X", []),
        ("mycart:80", "X", []),
        ("http://my-cart:80", "X", []),
    ],
)
def test_hosts(text: str, key: str, found: list[str]) -> None:
    assert named(text, key) == found


@given(st.text(), st.text())
def test_any_text_is_read(text: str, key: str) -> None:
    assert all(found.split("/")[1] in NAMES[found.split("/")[0]] for found in named(text, key))


def edges(*objects: Manifest) -> dict[tuple[str, str], str]:
    found = inventory([*objects, deployment("web"), service("web"), deployment("cart"), service("cart")]).edges
    return {(edge.caller.name, edge.callee.name): edge.evidence for edge in found}


def test_variables_and_command_lines_are_certain_config_maps_are_shared() -> None:
    shared = thing("ConfigMap", "all", data={"CART_URL": "http://cart"})
    found = edges(
        shared,
        deployment("a", container(env=[{"name": "URL", "value": "http://cart"}])),
        deployment("b", container(args=["--cart=http://cart"])),
        deployment("c", container(envFrom=[{"configMapRef": {"name": "all"}}])),
        deployment("d", pod={"volumes": [{"name": "v", "configMap": {"name": "all"}}]}),
        cronjob("night", jobTemplate={"spec": {"template": {"spec": {"containers": [container(args=["cart:80"])]}}}}),
    )
    assert {caller for caller, callee in found if callee == "cart"} == {"a", "b", "c", "d", "night"}
    certain = {caller for (caller, _), evidence in found.items() if evidence.startswith(STRONG)}
    assert certain == {"a", "b", "night"}
    assert found[("c", "cart")] == "ConfigMap shop/all, key CART_URL"


def test_policies_that_name_callers_tell_of_calls() -> None:
    rules = [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}, {"podSelector": {}}]}]
    policy = thing("NetworkPolicy", "p", spec={"podSelector": {"matchLabels": {"app": "cart"}}, "ingress": rules})
    assert edges(policy) == {("web", "cart"): "NetworkPolicy shop/p"}


def test_ingresses_call() -> None:
    rule = {"http": {"paths": [{"backend": {"service": {"name": "web"}}}]}}
    found = edges(thing("Ingress", "edge", spec={"rules": [rule], "defaultBackend": {"service": {"name": "gone"}}}))
    assert found == {("edge", "web"): "Ingress shop/edge"}


def test_nobody_calls_itself() -> None:
    own = deployment("web", container(env=[{"name": "SELF_URL", "value": "http://web"}]))
    found: tuple[Edge, ...] = inventory([own, service("web")]).edges
    assert found == ()
