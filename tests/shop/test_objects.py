"""The shop's objects hang together and look like what people have."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from landbridge.lab.shop import ENDPOINTS, PARTS, Kind, endpoints, manifests
from landbridge.lab.shop.objects import LAST_APPLIED
from landbridge.lab.shop.traffic import targets

OBJECTS = manifests(image="shop:1", postgres="10.0.0.1:5432", redis="10.0.0.1:6379", password="hidden")
BY_KIND: dict[str, dict[str, Any]] = {}
for manifest in OBJECTS:
    BY_KIND.setdefault(manifest["kind"], {})[manifest["metadata"]["name"]] = manifest


def test_every_object_is_there_once_and_is_json() -> None:
    keys = [(m["kind"], m["metadata"]["name"]) for m in OBJECTS]
    assert len(keys) == len(set(keys))
    assert json.loads(json.dumps(OBJECTS)) == OBJECTS
    assert all(m["metadata"].get("namespace") == "shop" for m in OBJECTS if m["kind"] != "Namespace")


def test_the_cluster_is_named_nowhere() -> None:
    text = json.dumps(OBJECTS)
    assert not any(word in text for word in ("CLUSTER", "legacy", "eks", "nodePort", '"clusterIP"'))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_service_deployment_and_program_fit_together(part: Any) -> None:
    deployment, service = BY_KIND["Deployment"][part.name], BY_KIND["Service"][part.name]
    template = deployment["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    (container,) = template["spec"]["containers"]
    (port,) = service["spec"]["ports"]
    assert port["targetPort"] in {p["name"] for p in container["ports"]}
    assert template["spec"]["serviceAccountName"] in BY_KIND["ServiceAccount"]
    module = container["command"][-1]
    assert importlib.import_module(module).__name__ == module
    for source in container["envFrom"]:
        for reference in source.values():
            assert reference["name"] in BY_KIND["ConfigMap"] | BY_KIND["Secret"]


def test_each_awkward_thing_is_there() -> None:
    users = BY_KIND["Service"]["users"]
    applied = json.loads(users["metadata"]["annotations"][LAST_APPLIED])
    assert applied["spec"] == users["spec"]
    assert "name" not in BY_KIND["Service"]["ledger"]["spec"]["ports"][0]
    assert "replicas" not in BY_KIND["Deployment"]["catalog"]["spec"]
    assert BY_KIND["HorizontalPodAutoscaler"].keys() == {"catalog"}
    assert {"PodDisruptionBudget", "CronJob", "RoleBinding", "Secret"} <= BY_KIND.keys()


def test_settings_do_not_clash_with_the_variables_that_kubernetes_makes_of_services() -> None:
    made = tuple(f"{part.name.upper()}_{end}" for part in PARTS for end in ("PORT", "SERVICE"))
    assert not [name for name in BY_KIND["ConfigMap"]["shop"]["data"] if name.startswith(made)]


def test_the_password_is_only_in_the_secret() -> None:
    assert [m["kind"] for m in OBJECTS if "hidden" in json.dumps(m)] == ["Secret"]


def test_endpoints_lead_to_ports_of_services() -> None:
    for endpoint in (*ENDPOINTS, *endpoints("shop")):
        service = BY_KIND["Service"][endpoint.host.partition(".")[0]]
        assert endpoint.port == service["spec"]["ports"][0]["port"]
    assert {endpoint.kind for endpoint in ENDPOINTS} == set(Kind)
    assert {endpoint.host.partition(".")[0] for endpoint in ENDPOINTS} == {part.name for part in PARTS}


def test_traffic_adds_up_and_keeps_to_the_endpoints() -> None:
    made = {target.name: target for target in targets(200, streams=7, run="eks")}
    assert made.keys() == {endpoint.name for endpoint in ENDPOINTS}
    assert made.pop("notices").rate == 7
    assert sum(target.rate for target in made.values()) == pytest.approx(200)
    assert made["buy"].path.endswith("&key=eks-{n}")
    assert made["stock"].body == '{"item":3}'
