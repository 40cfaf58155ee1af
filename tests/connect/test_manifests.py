"""What is made in a cluster: the waypoint's rules about pods, as data."""

from __future__ import annotations

from typing import Any

import pytest

from landbridge.connect import names
from landbridge.connect.manifests import manifests
from landbridge.connect.options import Options
from landbridge.model.service import Manifest, ObjectRef

OPTIONS = Options(namespaces=("shop", "stock"), drain=15)
MADE = manifests("legacy", "eks", OPTIONS)
DEPLOYMENTS = [item for item in MADE if item["kind"] == "Deployment"]
IDS = [f"{item['metadata']['namespace']}" for item in DEPLOYMENTS]


def pod(deployment: Manifest) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def container(deployment: Manifest, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in pod(deployment)["containers"] if item["name"] == name)
    return found


def test_everything_carries_our_mark_and_is_there_once() -> None:
    assert all(names.is_ours(item) for item in MADE)
    refs = [ObjectRef.of(item) for item in MADE]
    assert len(refs) == len(set(refs))


def test_a_gateway_and_one_waypoint_for_each_namespace() -> None:
    places = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in DEPLOYMENTS}
    waypoints = {("shop", "landbridge-waypoint"), ("stock", "landbridge-waypoint")}
    assert places == waypoints | {("landbridge", "landbridge-gateway")}


def test_a_gateway_requests_a_share_of_its_own() -> None:
    made = manifests("legacy", "eks", Options(namespaces=("shop",), cpu="50m", gateway_cpu="500m"))
    asked = {
        (item["metadata"]["namespace"], name): container(item, name)["resources"]["requests"]["cpu"]
        for item in made
        if item["kind"] == "Deployment"
        for name in ("envoy", "agent")
    }
    gateway = {("landbridge", "envoy"): "500m", ("landbridge", "agent"): "50m"}
    assert asked == gateway | {("shop", "envoy"): "50m", ("shop", "agent"): "20m"}


@pytest.mark.parametrize("made", DEPLOYMENTS, ids=IDS)
class TestEveryPod:
    def test_is_replaced_before_it_goes_and_spread(self, made: Manifest) -> None:
        assert made["spec"]["replicas"] == 2
        assert made["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        keys = {item["topologyKey"] for item in pod(made)["topologySpreadConstraints"]}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
        budgets = [item for item in MADE if item["kind"] == "PodDisruptionBudget"]
        assert made["metadata"]["namespace"] in {item["metadata"]["namespace"] for item in budgets}
        assert pod(made)["priorityClassName"] == names.PRIORITY

    def test_leaves_service_before_it_ends(self, made: Manifest) -> None:
        """preStop with /healthcheck/fail and 10 s; the grace period is longer than preStop and drain."""
        hook = container(made, "envoy")["lifecycle"]["preStop"]["exec"]["command"]
        assert "/healthcheck/fail" in hook[-1]
        assert "sleep(10)" in hook[-1]
        assert pod(made)["terminationGracePeriodSeconds"] > 10 + OPTIONS.drain

    def test_is_ready_when_envoy_is_configured_and_not_when_the_agent_lives(self, made: Manifest) -> None:
        probe = container(made, "envoy")["readinessProbe"]
        assert probe["httpGet"] == {"path": "/ready", "port": 15021}
        assert not {"livenessProbe", "readinessProbe", "startupProbe"} & set(container(made, "agent"))
        assert "livenessProbe" not in container(made, "envoy")
        assert "--seed" in pod(made)["initContainers"][0]["command"]

    def test_has_no_memory_limit_and_uids_of_its_own(self, made: Manifest) -> None:
        every = [*pod(made)["containers"], *pod(made)["initContainers"]]
        assert all("limits" not in item["resources"] for item in every)
        uids = {item["name"]: item["securityContext"]["runAsUser"] for item in every}
        assert uids["envoy"] not in {uids["agent"], uids["seed"]}

    def test_meets_the_restricted_pod_security_standard(self, made: Manifest) -> None:
        assert pod(made)["securityContext"]["runAsNonRoot"]
        assert pod(made)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for item in [*pod(made)["containers"], *pod(made)["initContainers"]]:
            assert item["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert item["securityContext"]["allowPrivilegeEscalation"] is False

    def test_shows_nobody_envoys_admin_interface(self, made: Manifest) -> None:
        ports = [port["containerPort"] for item in pod(made)["containers"] for port in item.get("ports", ())]
        assert names.ADMIN_PORT not in ports


def test_a_users_own_envoy_runs_without_our_python() -> None:
    made = manifests("legacy", "eks", Options(namespaces=("shop",), image="ours:1", envoy_image="theirs:2"))
    envoy = container(next(item for item in made if item["kind"] == "Deployment"), "envoy")
    assert envoy["image"] == "theirs:2"
    assert envoy["command"][0] == "envoy"
    assert envoy["lifecycle"]["preStop"] == {"sleep": {"seconds": 25}}
    agent = container(next(item for item in made if item["kind"] == "Deployment"), "agent")
    assert "/healthcheck/fail" in agent["lifecycle"]["preStop"]["exec"]["command"][-1]


def test_spread_is_hard_where_nodes_allow_it() -> None:
    hard = manifests("legacy", "eks", Options(namespaces=("shop",), spread_hard=True))
    [first, *_] = pod(next(item for item in hard if item["kind"] == "Deployment"))["topologySpreadConstraints"]
    assert first["whenUnsatisfiable"] == "DoNotSchedule"


def test_only_waypoints_are_told_to_keep_policies_and_only_if_asked() -> None:
    def told(*, enforce: bool) -> dict[str, list[bool]]:
        made = manifests("legacy", "eks", Options(namespaces=("shop",), enforce=enforce))
        return {
            item["metadata"]["name"]: ["--policies" in one["command"] for one in pod(item)["containers"]]
            for item in made
            if item["kind"] == "Deployment"
        }

    assert told(enforce=True) == {"landbridge-gateway": [False, False], "landbridge-waypoint": [False, True]}
    assert told(enforce=False) == {"landbridge-gateway": [False, False], "landbridge-waypoint": [False, False]}


def test_somebody_elses_trafficsplit_is_left_out() -> None:
    kinds = [item["kind"] for item in manifests("legacy", "eks", OPTIONS, own_split=False)]
    assert "CustomResourceDefinition" not in kinds


def test_no_secret_is_printed() -> None:
    assert "Secret" not in {item["kind"] for item in MADE}
