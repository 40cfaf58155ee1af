"""Copy rules: one case for each thing that stays behind, is stripped or changes, and what holds for all objects."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.service import Manifest, ServiceId
from landbridge.translate.kubernetes import ORDER, order, transform
from landbridge.translate.metadata import SERVER_SET
from landbridge.translate.patches import PatchError, apply_patch
from landbridge.translate.rules import Drop, Keep, Patch, Rules

RULES = Rules()


def thing(kind: str, api: str = "v1", name: str = "a", meta: dict[str, Any] | None = None, **rest: Any) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "shop", **(meta or {})}, **rest}


def kept(manifest: Manifest, rules: Rules = RULES) -> Manifest:
    answer = transform(manifest, rules)
    assert isinstance(answer, Keep), answer
    return answer.manifest


def owned(kind: str, *, controller: bool = True) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": "x", "controller": controller, "apiVersion": "v1", "uid": "1"}]}


DROPPED = {
    "being deleted": thing("ConfigMap", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
    "ours": thing("Service", meta={"labels": {"app.kubernetes.io/managed-by": "landbridge"}}),
    "event": thing("Event"),
    "new event": thing("Event", "events.k8s.io/v1"),
    "node": thing("Node"),
    "lease": thing("Lease", "coordination.k8s.io/v1"),
    "controller revision": thing("ControllerRevision", "apps/v1"),
    "metrics": thing("PodMetrics", "metrics.k8s.io/v1beta1"),
    "service cidr": thing("ServiceCIDR", "networking.k8s.io/v1"),
    "csr": thing("CertificateSigningRequest", "certificates.k8s.io/v1"),
    "replica set": thing("ReplicaSet", "apps/v1"),
    "claim": thing("PersistentVolumeClaim"),
    "volume": thing("PersistentVolume"),
    "owned by controller": thing("ConfigMap", meta=owned("Thing")),
    "owned secret": thing("Secret", meta=owned("ExternalSecret", controller=False)),
    "sealed secret": thing("Secret", meta=owned("SealedSecret")),
    "account token": thing(
        "Secret",
        name="web-token-x1",
        meta={"annotations": {"kubernetes.io/service-account.name": "web"}},
        type="kubernetes.io/service-account-token",
    ),
    "default token": thing(
        "Secret",
        meta={"annotations": {"kubernetes.io/service-account.name": "default"}},
        type="kubernetes.io/service-account-token",
    ),
    "dockercfg": thing(
        "Secret",
        meta={"annotations": {"kubernetes.io/service-account.name": "builder"}},
        type="kubernetes.io/dockercfg",
    ),
    "helm release": thing("Secret", name="sh.helm.release.v1.web.v3", type="helm.sh/release.v1"),
    "tiller": thing("ConfigMap", meta={"labels": {"OWNER": "TILLER"}}),
    "root ca": thing("ConfigMap", name="kube-root-ca.crt"),
    "openshift ca": thing("ConfigMap", name="openshift-service-ca.crt"),
    "election": thing("ConfigMap", meta={"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}),
    "operator": thing("Subscription", "operators.coreos.com/v1alpha1"),
    "pod": thing("Pod"),
    "pod over": thing("Pod", status={"phase": "Succeeded"}),
    "mirror pod": thing("Pod", meta={"annotations": {"kubernetes.io/config.mirror": "x"}}),
    "job over": thing("Job", "batch/v1", status={"conditions": [{"type": "Complete", "status": "True"}]}),
    "mirrored": thing("Service", meta={"labels": {"mirror.linkerd.io/mirrored-service": "true"}}),
    "target group": thing("TargetGroupBinding", "elbv2.k8s.aws/v1beta1"),
    "split": thing("TrafficSplit", "split.smi-spec.io/v1alpha2"),
    "made slice": thing(
        "EndpointSlice",
        "discovery.k8s.io/v1",
        meta={"labels": {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
    ),
    "made endpoints": thing(
        "Endpoints", meta={"annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "x"}}
    ),
    "openshift binding": thing("RoleBinding", "rbac.authorization.k8s.io/v1", name="system:image-pullers"),
    "kubernetes": {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"}},
}


@pytest.mark.parametrize("manifest", DROPPED.values(), ids=DROPPED.keys())
def test_stays_behind(manifest: Manifest) -> None:
    answer = transform(manifest, RULES)
    assert isinstance(answer, Drop)
    assert answer.reason


def test_endpoints_by_hand_are_kept() -> None:
    assert kept(thing("Endpoints", subsets=[{"addresses": [{"ip": "10.0.0.1"}]}]))["subsets"]


def test_owner_that_is_no_controller_is_stripped() -> None:
    assert "ownerReferences" not in kept(thing("ConfigMap", meta=owned("Thing", controller=False)))["metadata"]


def test_hand_made_token_keeps_its_name_and_loses_its_value() -> None:
    meta = {"annotations": {"kubernetes.io/service-account.name": "ci", "kubernetes.io/service-account.uid": "7"}}
    secret = thing(
        "Secret", name="ci", meta=meta, type="kubernetes.io/service-account-token", data={"token": "c2VjcmV0"}
    )
    answer = transform(secret, RULES)
    assert isinstance(answer, Keep)
    assert "data" not in answer.manifest
    assert answer.manifest["metadata"]["annotations"] == {"kubernetes.io/service-account.name": "ci"}
    assert "CI" in answer.notes[0]


def test_metadata_of_tools_goes() -> None:
    meta = {
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "deployment.kubernetes.io/revision": "3",
            "meta.helm.sh/release-name": "web",
            "argocd.argoproj.io/tracking-id": "x",
            "velero.io/x": "y",
            "team": "a",
        },
        "labels": {"app": "web", "app.kubernetes.io/managed-by": "Helm", "kustomize.toolkit.fluxcd.io/name": "x"},
        "finalizers": ["foregroundDeletion", "keep.example/me"],
    }
    answer = transform(thing("ConfigMap", meta=meta), Rules(finalizers=("keep.example/me",)))
    assert isinstance(answer, Keep)
    assert answer.manifest["metadata"] == {
        "name": "a",
        "namespace": "shop",
        "annotations": {"team": "a"},
        "labels": {"app": "web"},
        "finalizers": ["keep.example/me"],
    }
    assert any("GitOps" in note for note in answer.notes)


def service(spec: dict[str, Any], applied: dict[str, Any] | None = None, fields: Any = None) -> Manifest:
    meta: dict[str, Any] = {}
    if applied is not None:
        meta["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": applied})}
    if fields is not None:
        meta["managedFields"] = [{"manager": "x", "fieldsV1": {"f:spec": fields}}]
    return thing("Service", meta=meta, spec=spec)


def test_service_gets_new_addresses() -> None:
    spec: dict[str, Any] = {
        "clusterIP": "10.0.0.1",
        "clusterIPs": ["10.0.0.1"],
        "ports": [{"port": 80, "nodePort": 31000}],
    }
    spec |= {"externalIPs": ["1.2.3.4"], "healthCheckNodePort": 32000, "loadBalancerIP": "5.6.7.8"}
    assert kept(service(spec))["spec"] == {"ports": [{"port": 80}]}


def test_headless_service_stays_headless() -> None:
    spec = {"clusterIP": "None", "clusterIPs": ["None"], "ports": []}
    assert kept(service(spec))["spec"]["clusterIP"] == "None"


def test_chosen_node_port_is_kept_where_it_is_free() -> None:
    spec = {"ports": [{"port": 80, "nodePort": 31000}, {"port": 81, "nodePort": 31001}]}
    applied = {"ports": [{"port": 80, "nodePort": 31000}]}
    assert kept(service(copy.deepcopy(spec), applied))["spec"]["ports"] == [
        {"port": 80, "nodePort": 31000},
        {"port": 81},
    ]
    fields: Any = {"f:ports": {'k:{"port":81,"protocol":"TCP"}': {"f:nodePort": {}}}}
    assert kept(service(copy.deepcopy(spec), fields=fields))["spec"]["ports"][1]["nodePort"] == 31001
    taken = Rules(node_ports=(30000, 32767, frozenset({31000})))
    answer = transform(service(spec, applied), taken)
    assert isinstance(answer, Keep)
    assert "nodePort" not in answer.manifest["spec"]["ports"][0]
    assert "31000" in answer.notes[0]


def test_adopted_service_gets_its_selector_back() -> None:
    rules = Rules(selectors={ServiceId("shop", "a"): {"app": "web"}})
    assert kept(service({"ports": []}), rules)["spec"]["selector"] == {"app": "web"}


def deployment(pod: dict[str, Any]) -> Manifest:
    template = {"metadata": {"labels": {"app": "a"}, "creationTimestamp": None}, "spec": pod}
    return thing("Deployment", "apps/v1", spec={"template": template, "replicas": 2}, status={"replicas": 2})


def test_pod_template() -> None:
    pod = {
        "nodeName": "old-1",
        "priority": 1000,
        "priorityClassName": "high",
        "serviceAccountName": "web",
        "volumes": [{"name": "web-token-abc"}, {"name": "kube-api-access-x"}, {"name": "data"}],
        "imagePullSecrets": [{"name": "web-dockercfg-1"}, {"name": "registry"}],
        "containers": [{"name": "c", "image": "old.example/web:1", "volumeMounts": [{"name": "web-token-abc"}]}],
        "initContainers": [{"name": "i", "image": "old.example/init"}],
    }
    rules = Rules(images={"old.example/": "new.example/"}, digests={"old.example/web:1": "sha256:ab"})
    result = kept(deployment(pod), rules)
    assert "status" not in result
    assert result["spec"]["template"]["spec"] == {
        "priorityClassName": "high",
        "serviceAccountName": "web",
        "volumes": [{"name": "data"}],
        "imagePullSecrets": [{"name": "registry"}],
        "containers": [{"name": "c", "image": "new.example/web:1@sha256:ab", "volumeMounts": []}],
        "initContainers": [{"name": "i", "image": "new.example/init"}],
    }


def test_job_loses_what_ties_it_to_its_pods_and_waits() -> None:
    labels = {"controller-uid": "1", "batch.kubernetes.io/controller-uid": "1", "job-name": "a", "app": "a"}
    spec = {"selector": {"matchLabels": {}}, "template": {"metadata": {"labels": labels}, "spec": {"containers": []}}}
    result = kept(thing("Job", "batch/v1", spec=copy.deepcopy(spec)))
    assert result["spec"]["suspend"] is True
    assert "selector" not in result["spec"]
    assert result["spec"]["template"]["metadata"]["labels"] == {"app": "a"}
    again = thing("Job", "batch/v1", meta={"annotations": {"x": "y"}}, spec={**spec, "manualSelector": True})
    assert "selector" in kept(again)["spec"]


def test_cronjob_arrives_suspended() -> None:
    spec: dict[str, Any] = {
        "schedule": "* * * * *",
        "jobTemplate": {"spec": {"template": {"spec": {"containers": []}}}},
    }
    assert kept(thing("CronJob", "batch/v1", spec=spec))["spec"]["suspend"] is True


def test_ingress_class_and_old_load_balancer() -> None:
    annotations = {"kubernetes.io/ingress.class": "nginx", "alb.ingress.kubernetes.io/subnets": "a,b"}
    answer = transform(thing("Ingress", "networking.k8s.io/v1", meta={"annotations": annotations}, spec={}), RULES)
    assert isinstance(answer, Keep)
    assert answer.manifest["spec"] == {"ingressClassName": "nginx"}
    assert "subnets" in answer.notes[1]


def test_policy_about_the_old_network_is_noted() -> None:
    spec = {"egress": [{"to": [{"ipBlock": {"cidr": "10.90.1.0/24"}}, {"ipBlock": {"cidr": "192.0.2.0/24"}}]}]}
    answer = transform(thing("NetworkPolicy", "networking.k8s.io/v1", spec=spec), Rules(networks=("10.90.0.0/16",)))
    assert isinstance(answer, Keep)
    assert answer.notes == ("ipBlock 10.90.1.0/24 lies in the source's own network",)


def test_webhook_is_made_harmless_to_dry_runs() -> None:
    hook = {"name": "h", "sideEffects": "Some", "clientConfig": {"caBundle": "x"}}
    result = kept(thing("ValidatingWebhookConfiguration", "admissionregistration.k8s.io/v1", webhooks=[hook]))
    assert result["webhooks"] == [{"name": "h", "sideEffects": "None", "clientConfig": {}}]


def test_account_loses_made_tokens() -> None:
    account = thing("ServiceAccount", secrets=[{"name": "web-token-1"}], imagePullSecrets=[{"name": "a-dockercfg-1"}])
    assert kept(account) == thing("ServiceAccount", imagePullSecrets=[])


def test_patch_of_the_user_comes_last() -> None:
    patch = Patch(kind="ConfigMap", name="a*", operations=({"op": "replace", "path": "/data/x", "value": "2"},))
    assert kept(thing("ConfigMap", data={"x": "1"}), Rules(patches=(patch,)))["data"] == {"x": "2"}
    assert kept(thing("ConfigMap", name="b", data={"x": "1"}), Rules(patches=(patch,)))["data"] == {"x": "1"}


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/a/-", "value": 3}, {"a": [1, 2, 3], "b": {"c/d": 1}}),
        ({"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1, 2], "b": {"c/d": 1}}),
        ({"op": "remove", "path": "/b/c~1d"}, {"a": [1, 2], "b": {}}),
        ({"op": "move", "from": "/a/1", "path": "/b/e"}, {"a": [1], "b": {"c/d": 1, "e": 2}}),
        ({"op": "copy", "from": "/b", "path": "/z"}, {"a": [1, 2], "b": {"c/d": 1}, "z": {"c/d": 1}}),
        ({"op": "test", "path": "/a/0", "value": 1}, {"a": [1, 2], "b": {"c/d": 1}}),
    ],
)
def test_patch_operations(operation: dict[str, Any], expected: Any) -> None:
    assert apply_patch({"a": [1, 2], "b": {"c/d": 1}}, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/a/7", "value": 1},
        {"op": "test", "path": "/a", "value": 1},
        {"op": "remove", "path": ""},
        {"op": "spin", "path": "/a"},
    ],
)
def test_patch_that_does_not_fit_says_so(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError, match="does not fit"):
        apply_patch({"a": [1]}, [operation])


def test_order_puts_names_before_users_and_webhooks_last() -> None:
    assert order("Namespace") < order("Secret") < order("Service") < order("Deployment") < order("Ingress")
    assert order("NetworkPolicy") < order("Deployment")
    assert order("Ingress") < order("SomethingElse") < order("ValidatingWebhookConfiguration")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
metas = st.fixed_dictionaries(
    {"name": st.text("abc", min_size=1)},
    optional={key: json_values for key in SERVER_SET if key not in {"ownerReferences", "managedFields"}}
    | {
        "labels": st.dictionaries(st.text(max_size=9), st.text(max_size=5), max_size=3),
        "annotations": st.dictionaries(st.text(max_size=9), st.text(max_size=5), max_size=3),
        "finalizers": st.lists(st.text(max_size=5), max_size=2),
    },
)
objects = st.builds(
    lambda kind, meta, data, status: {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {k: v for k, v in meta.items() if k != "deletionTimestamp"},
        "data": data,
        "status": status,
    },
    st.sampled_from([kind for kind in ORDER if kind not in {"Service", "Job", "CronJob", "Ingress", "NetworkPolicy"}]),
    metas,
    json_values,
    json_values,
)


@given(objects)
def test_any_object(manifest: Manifest) -> None:
    before = copy.deepcopy(manifest)
    answer = transform(manifest, RULES)
    assert manifest == before
    if isinstance(answer, Keep):
        assert not set(SERVER_SET) & set(answer.manifest["metadata"])
        assert "status" not in answer.manifest
        assert answer.manifest.get("data") == manifest.get("data") or manifest["kind"] == "Secret"
        again = transform(answer.manifest, RULES)
        assert isinstance(again, Keep)
        assert again.manifest == answer.manifest
