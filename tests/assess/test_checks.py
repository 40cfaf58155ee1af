"""Every check fires where it should and is silent where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landbridge.assess import CHECKS, Facts, assess, render_pages
from landbridge.assess.policies import missing
from landbridge.model.inventory import Finding, Inventory, Node, Severity
from landbridge.model.service import Manifest, ServiceId
from landbridge.settings import Migration
from landbridge.translate.adoption import NotAdoptable
from tests.assess.world import (
    ROOM,
    container,
    cronjob,
    deployment,
    healthy,
    inventory,
    migration,
    served,
    service,
    thing,
)

ROOT = Path(__file__).parents[2]
World = tuple[Inventory, Migration]


def world(*objects: Manifest, settings: dict[str, Any] | None = None, **target: Any) -> World:
    return inventory(healthy(*objects), **target), migration(**(settings or {}))


def port(name: str, number: int, **fields: Any) -> dict[str, Any]:
    return {"name": name, "port": number, **fields}


def pod(**fields: Any) -> Manifest:
    return deployment("api", pod=fields)


def behind(item: Manifest) -> tuple[Manifest, ...]:
    return item, service("api")


def hpa(**spec: Any) -> Manifest:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
    return thing(
        "HorizontalPodAutoscaler",
        "web",
        spec={"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9, "metrics": [metric], **spec},
    )


def policy(**spec: Any) -> Manifest:
    return thing("NetworkPolicy", "p", spec={"podSelector": {"matchLabels": {"app": "web"}}, **spec})


def hook(kind: str, **fields: Any) -> Manifest:
    return thing(kind, "guard", "", webhooks=[{"name": "guard.example", **fields}])


def ingress(**spec: Any) -> Manifest:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {"host": "shop.example", "http": {"paths": [{"backend": backend}]}}
    return thing("Ingress", "edge", spec={"rules": [rule], **spec})


CRD_THING = thing("Certificate", "tls", api="cert-manager.io/v1")
OLD_HPA = thing("HorizontalPodAutoscaler", "old", api="autoscaling/v2beta2", spec={})
CANARY = thing("Canary", "web", api="flagger.app/v1beta1", spec={"targetRef": {"name": "web"}})
SMALL = Node(name="n", cpu=1.0, memory=10**9, pods=2)
POOLS = {"services": {"shop/web": {"pools": {"db": 10}}}, "stores": {"db": {"maxConnections": 30}}}

WORLDS: dict[str, Callable[[], World]] = {
    "known-namespace": lambda: (inventory(healthy()), migration(namespaces=("shop", "shpo"))),
    "known-service": lambda: world(settings={"services": {"shop/wbe": {}}}),
    "last-bake": lambda: world(settings={"steps": (5, 50, 100)}),
    "removed-api": lambda: world(OLD_HPA),
    "custom-kind": lambda: world(CRD_THING),
    "older-target": lambda: _on_source(world(), version="v1.36.0"),
    "headless-service": lambda: world(service("api", clusterIP="None")),
    "external-name": lambda: world(service("api", type="ExternalName", externalName="a.example")),
    "no-selector": lambda: world(service("api", selector={})),
    "stateful-set-service": lambda: world(
        deployment("api", kind="StatefulSet", spec={"serviceName": "api"}), service("api")
    ),
    "udp-port": lambda: world(*behind(pod()), service("dns", port("dns", 53, protocol="UDP"))),
    "sctp-port": lambda: world(service("sig", port("sig", 9, protocol="SCTP"))),
    "local-traffic-policy": lambda: world(service("api", internalTrafficPolicy="Local")),
    "topology-aware": lambda: _zones(world(service("api", trafficDistribution="PreferClose"))),
    "ip-target-load-balancer": lambda: world(
        service("api", meta={"annotations": {"service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip"}})
    ),
    "mirror-name": lambda: world(*behind(deployment("a" * 58)), service("a" * 58)),
    "name-length": lambda: world(service("a" * 60)),
    "injected-mesh": lambda: (
        inventory(
            [
                thing("Namespace", "shop", "", meta={"labels": {"istio-injection": "enabled"}}),
                deployment("web"),
                service("web"),
            ]
        ),
        migration(),
    ),
    "argo-rollouts": lambda: world(service("api", selector={"app": "api", "rollouts-pod-template-hash": "1"})),
    "flagger": lambda: world(CANARY),
    "volume-claims": lambda: world(pod(volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "d"}}])),
    "host-path": lambda: world(pod(volumes=[{"name": "d", "hostPath": {"path": "/var/log"}}])),
    "empty-dir": lambda: world(pod(volumes=[{"name": "d", "emptyDir": {}}])),
    "stateful-set": lambda: world(deployment("db", kind="StatefulSet")),
    "network-volumes": lambda: world(pod(volumes=[{"name": "d", "nfs": {"server": "nfs", "path": "/"}}])),
    "readiness-probe": lambda: world(*behind(deployment("api", {"name": "c", "image": "a:1"}))),
    "single-replica": lambda: world(*behind(deployment("api", spec={"replicas": 1}))),
    "source-ready": lambda: world(deployment("api", status={"readyReplicas": 1})),
    "service-pods": lambda: world(service("nobody")),
    "bare-pod": lambda: world(thing("Pod", "lone", spec={"containers": [container()]})),
    "operator": lambda: world(
        deployment("kafka", meta={"ownerReferences": [{"kind": "Kafka", "name": "k", "controller": True}]})
    ),
    "being-deleted": lambda: world(thing("ConfigMap", "old", meta={"deletionTimestamp": "2026-11-21T00:00:00Z"})),
    "floating-image": lambda: world(deployment("api", container(image="registry.example:5000/app"))),
    "host-namespace": lambda: world(pod(hostNetwork=True)),
    "cronjob-time-zone": lambda: world(cronjob("night", timeZone=None)),
    "job-ttl": lambda: world(cronjob("night", job={"ttlSecondsAfterFinished": 0})),
    "cronjob-deadline": lambda: world(cronjob("night", startingDeadlineSeconds=10)),
    "cronjob-suspended": lambda: world(cronjob("night", suspend=True)),
    "unfinished-job": lambda: world(thing("Job", "import", spec={"template": {"spec": {"containers": [container()]}}})),
    "worker": lambda: world(deployment("mailer")),
    "daemon-set": lambda: world(deployment("logs", kind="DaemonSet")),
    "scheduler-inside": lambda: world(deployment("beat", container(command=["celery", "-A", "shop", "beat"]))),
    "leader-election": lambda: world(thing("Role", "lead", rules=[{"resources": ["leases"], "verbs": ["update"]}])),
    "kiam": lambda: world(deployment("api", notes={"iam.amazonaws.com/role": "shop"})),
    "irsa": lambda: world(
        thing("ServiceAccount", "api", meta={"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/a"}})
    ),
    "static-credentials": lambda: world(
        deployment("api", container(env=[{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}]))
    ),
    "token-secret": lambda: world(
        thing(
            "Secret",
            "ci",
            type="kubernetes.io/service-account-token",
            meta={"annotations": {"kubernetes.io/service-account.name": "deployer-bot"}},
        )
    ),
    "hand-made-secret": lambda: world(thing("Secret", "password", type="Opaque", data={"a": None})),
    "missing-reference": lambda: world(pod(imagePullSecrets=[{"name": "registry"}])),
    "node-port": lambda: world(service("api", port("http", 80, nodePort=30080), type="NodePort")),
    "load-balancer": lambda: world(service("api", type="LoadBalancer")),
    "session-affinity": lambda: world(service("api", sessionAffinity="ClientIP")),
    "port-protocol": lambda: world(service("api", {"port": 7000})),
    "stated-protocol": lambda: world(settings={"services": {"shop/web": {"protocols": {"81": "http"}}}}),
    "network-policy": lambda: world(policy(), features=("metrics-api",)),
    "default-deny": lambda: world(there=(policy(podSelector={}),)),
    "waypoint-policy": lambda: world(policy(podSelector={})),
    "widened-policy": lambda: world(policy(ingress=[]), *behind(deployment("api"))),
    "foreign-policy": lambda: world(thing("CiliumNetworkPolicy", "p", api="cilium.io/v2")),
    "ip-block": lambda: world(policy(ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])),
    "cluster-address": lambda: world(
        service("api", clusterIP="10.100.3.4"), thing("ConfigMap", "c", data={"a": "http://10.100.3.4/"})
    ),
    "service-link": lambda: world(deployment("api", container(args=["--redis=$(REDIS_SERVICE_HOST)"]))),
    "service-reader": lambda: world(ingress()),
    "caller-address": lambda: world(service("api", {"port": 5432})),
    "ingress-host": lambda: world(ingress()),
    "inotify-instances": lambda: world(settings={"dataPlane": {"waypoints": 20}}),
    "storage-class": lambda: world(thing("PersistentVolumeClaim", "d", spec={"storageClassName": "gp2"})),
    "ingress-class": lambda: world(ingress(ingressClassName="nginx")),
    "priority-class": lambda: world(pod(priorityClassName="high")),
    "runtime-class": lambda: world(pod(runtimeClassName="gvisor")),
    "node-selector": lambda: world(pod(nodeSelector={"kops.k8s.io/instancegroup": "web"})),
    "pod-security": lambda: world(
        there=(thing("Namespace", "shop", "", meta={"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}),)
    ),
    "quota": lambda: world(thing("ResourceQuota", "q", spec={"hard": {"pods": "3"}})),
    "capacity": lambda: world(nodes=(SMALL,)),
    "pod-size": lambda: world(
        deployment("big", container(resources={"requests": {"cpu": "2", "memory": "1Gi"}})), nodes=(SMALL,)
    ),
    "requests": lambda: world(deployment("api", container(resources={}))),
    "autoscaler-limit": lambda: world(hpa(maxReplicas=2)),
    "autoscaler-requests": lambda: (
        inventory([thing("Namespace", "shop", ""), deployment("web", container(resources={})), service("web"), hpa()]),
        migration(),
    ),
    "metrics-api": lambda: world(hpa(), features=("networkpolicy-enforced",)),
    "connection-budget": lambda: world(settings=POOLS),
    "gitops": lambda: world(deployment("api", meta={"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/x"}})),
    "helm-release": lambda: world(deployment("api", meta={"annotations": {"meta.helm.sh/release-name": "shop"}})),
    "autoscaled": lambda: world(hpa()),
    "other-writer": lambda: world(deployment("api", meta={"managedFields": [{"manager": "kubectl-edit"}]})),
    "existing-object": lambda: world(there=(deployment("web"),)),
    "target-webhook": lambda: world(there=(hook("ValidatingWebhookConfiguration"),)),
    "source-webhook": lambda: world(hook("MutatingWebhookConfiguration")),
}
"""For each check a world that has what the check is for."""


def _on_source(made: World, **changed: Any) -> World:
    return replace(made[0], source=replace(made[0].source, **changed)), made[1]


def _zones(made: World) -> World:
    names = ("a", "b")
    return _on_source(
        made, nodes=tuple(replace(ROOM, name=z, labels={"topology.kubernetes.io/zone": z}) for z in names)
    )


def found(made: World) -> dict[str, list[Finding]]:
    by_check: dict[str, list[Finding]] = {}
    for finding in assess(Facts(*made)):
        by_check.setdefault(finding.check, []).append(finding)
    return by_check


def test_every_check_has_a_world() -> None:
    assert {*WORLDS, "adoptable"} == set(CHECKS)


def test_a_rule_without_a_check_of_its_own_blocks_all_the_same() -> None:
    made = world()
    facts = Facts(*made)
    refusal = NotAdoptable(rule="new", message="Service shop/web is odd", advice="ask")
    facts.__dict__["refusals"] = {ServiceId("shop", "web"): refusal}
    seen = list(CHECKS["adoptable"].find(facts))
    assert [CHECKS["adoptable"].finding(one).severity for one in seen] == [Severity.BLOCKER]


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_it_fires(name: str) -> None:
    findings = found(WORLDS[name]()).get(name, [])
    assert findings, f"{name} sees nothing"
    for finding in findings:
        assert finding.message
        assert finding.advice
        assert (ROOT / finding.page).is_file()


def test_a_healthy_world_has_no_findings() -> None:
    assert found(world()) == {}


def test_pages_are_as_the_table_says() -> None:
    pages = render_pages(CHECKS.values())
    for path, text in pages.items():
        assert (ROOT / path).read_text() == text, f"{path}: render it again"
    written = {f"docs/checks/{file.name}" for file in (ROOT / "docs/checks").glob("*.md")}
    assert written == set(pages), "no page without a check"


def test_accepted_findings_say_why_and_block_no_more() -> None:
    accepted = {"check": "kiam", "object": "Deployment shop/*", "reason": "role is set", "date": "2026-11-20"}
    inv = WORLDS["kiam"]()[0]
    findings = assess(Facts(inv, migration(accepted=[accepted])))
    assert [f.accepted for f in findings if f.check == "kiam"] == ["role is set (2026-11-20)"]
    other = assess(Facts(inv, migration(accepted=[{**accepted, "object": "Deployment other/*"}])))
    assert [f.accepted for f in other if f.check == "kiam"] == [""]


def test_what_is_skipped_is_a_warning() -> None:
    findings = found(
        (inventory(healthy(service("api", clusterIP="None"))), migration(services={"shop/api": {"skip": True}}))
    )
    assert [f.severity for f in findings["headless-service"]] == [Severity.WARNING]


def test_versions_written_long_ago_are_found_though_the_server_converts() -> None:
    made = world(extra={"applied": {"Ingress shop/edge": "networking.k8s.io/v1beta1"}})
    finding = found(made)["removed-api"][0]
    assert finding.severity is Severity.WARNING
    assert "networking.k8s.io/v1 " in finding.advice


def test_target_of_our_own_making_is_no_stranger() -> None:
    made = world(there=(deployment("web"),), extra={"ours": ["Deployment shop/web"]})
    assert "existing-object" not in found(made)


def test_the_budget_blocks_only_beyond_the_limit() -> None:
    tight = {**POOLS, "stores": {"db": {"maxConnections": 70}}}
    assert found(world(settings=POOLS))["connection-budget"][0].severity is Severity.BLOCKER
    assert found(world(settings=tight))["connection-budget"][0].severity is Severity.WARNING
    wide = {**POOLS, "stores": {"db": {"maxConnections": 100}}}
    assert "connection-budget" not in found(world(settings=wide))


BORROWED = (
    thing("Service", "fn", api="serving.knative.dev/v1", spec={"template": {}}),
    thing("Ingress", "in", api="networking.internal.knative.dev/v1alpha1"),
    thing("Job", "train", api="batch.volcano.sh/v1alpha1"),
    thing("Deployment", "d", api="deploy.example/v1"),
    thing("NetworkPolicy", "p", api="crd.projectcalico.org/v1", spec={"ingress": [{"source": {}}]}),
    thing("Secret", "s", api="vault.example/v1", spec={}),
    thing("Canary", "c", api="test.example/v1"),
)


def test_kinds_that_other_apis_have_borrowed_are_not_taken_for_the_well_known_ones() -> None:
    there = {"Service", "Ingress", "Job", "Deployment", "NetworkPolicy", "Secret", "Canary"}
    made = world(*BORROWED, served={**served(), **{f"{_group(o)}/{o['kind']}": (_short(o),) for o in BORROWED}})
    assert {o["kind"] for o in BORROWED} == there
    assert set(found(made)) == {"foreign-policy"}


READERS = (
    thing("TargetGroupBinding", "by-instance", spec={"serviceRef": {"name": "web"}, "targetType": "instance"}),
    thing("HTTPRoute", "by-route", spec={"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]}),
    thing("ServiceMonitor", "by-label", spec={"selector": {"matchLabels": {"team": "a"}}}),
    thing(
        "ServiceMonitor",
        "by-expression",
        "monitoring",
        spec={
            "selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
            "namespaceSelector": {"matchNames": ["shop"]},
        },
    ),
    thing("APIService", "v1.shop", "", spec={"service": {"namespace": "shop", "name": "web"}}),
    hook("MutatingWebhookConfiguration", clientConfig={"service": {"namespace": "shop", "name": "web"}}),
)


def test_whoever_reads_a_service_is_named() -> None:
    """waypoint.md 4: other readers of the Service are listed before adoption."""
    marked = service("web", meta={"labels": {"team": "a"}, "annotations": {"prometheus.io/scrape": "true"}})
    objects = [thing("Namespace", "shop", ""), deployment("web"), marked, *READERS]
    (finding,) = found((inventory(objects), migration()))["service-reader"]
    for name in ("by-instance", "by-route", "by-label", "by-expression", "v1.shop", "guard", "prometheus.io/scrape"):
        assert name in finding.message
    others = [thing("ServiceMonitor", "elsewhere", "monitoring", spec={"selector": {"matchLabels": {"team": "a"}}})]
    assert "service-reader" not in found((inventory(healthy(*others)), migration()))


def test_waypoints_that_keep_policies_make_a_note_of_the_blocker() -> None:
    """waypoint.md 4: carried over, it is to be known; what cannot be carried over blocks as before."""

    def seen(*objects: Manifest) -> list[tuple[Severity, str]]:
        made = (world(*objects)[0], migration(data_plane={"policies": "enforce"}))
        return [(finding.severity, finding.object) for finding in found(made).get("widened-policy", ())]

    neighbours = behind(deployment("api"))
    limited = policy(ingress=[{"from": [{"podSelector": {}}]}])
    assert seen(limited, *neighbours) == [(Severity.NOTE, "Service shop/web")]
    second = deployment("web-two", spec={"template": {"metadata": {"labels": {"app": "web", "tier": "b"}}, "spec": {}}})
    by_tier = thing("NetworkPolicy", "q", spec={"podSelector": {"matchLabels": {"tier": "b"}}, "ingress": []})
    assert (Severity.BLOCKER, "Service shop/web") in seen(second, by_tier, *neighbours)
    named = [
        deployment(name, container(ports=[{"name": "http", "containerPort": port}]), spec=labelled)
        for name, port in (("one", 8080), ("two", 9090))
        for labelled in [
            {
                "template": {
                    "metadata": {"labels": {"app": "pair"}},
                    "spec": {"containers": [container(ports=[{"name": "http", "containerPort": port}])]},
                }
            }
        ]
    ]
    pair = service("pair", {"name": "http", "port": 80, "targetPort": "http"})
    by_number = thing(
        "NetworkPolicy", "r",
        spec={"podSelector": {"matchLabels": {"app": "pair"}}, "ingress": [{"ports": [{"port": 8080}]}]},
    )  # fmt: skip
    assert (Severity.BLOCKER, "Service shop/pair") in seen(*named, pair, by_number)


def test_policies_that_were_applied_are_found_there() -> None:
    """waypoint.md 4: generated and shown before adoption; nothing is said once they are on the source."""
    deny = policy(podSelector={}, policyTypes=["Ingress", "Egress"])
    lacking = list(missing(Facts(*world(deny))))
    assert {item["metadata"]["name"] for item in lacking} == {
        "landbridge-waypoint",
        "landbridge-waypoint-egress",
        "landbridge-leaf-p",
    }
    assert "waypoint-policy" not in found(world(deny, *lacking))
    changed = [{**item, "spec": {**item["spec"], "ingress": []}} for item in lacking]
    assert "waypoint-policy" in found(world(deny, *changed))
    assert not list(missing(Facts(*world())))


def _group(item: Manifest) -> str:
    return str(item["apiVersion"].rpartition("/")[0])


def _short(item: Manifest) -> str:
    return str(item["apiVersion"].rpartition("/")[2])
