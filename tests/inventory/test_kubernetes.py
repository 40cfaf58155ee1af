"""The inventory of two real API servers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from landbridge.clients.kubeconfig import Context
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.errors import AccessError
from landbridge.inventory import KubernetesSource
from landbridge.lab import ApiServer
from landbridge.lab.shop.objects import manifests
from landbridge.model.inventory import Inventory
from landbridge.model.manifest import subject
from landbridge.model.service import ServiceId

pytestmark = pytest.mark.api

HELM = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "inv"}


async def collect(pair: tuple[ApiServer, ApiServer], *namespaces: str) -> Inventory:
    source, target = pair
    async with (
        Kubernetes.connect(source.kubeconfig, name=source.name) as old,
        Kubernetes.connect(target.kubeconfig, name=target.name) as new,
    ):
        return await KubernetesSource(old, new, namespaces).collect()


async def fill(server: ApiServer, objects: list[dict[str, Any]]) -> None:
    async with Kubernetes.connect(server.kubeconfig) as k8s:
        for item in objects:
            await k8s.apply(item, manager="helm", force=True)


async def test_the_shop(api_pair: tuple[ApiServer, ApiServer]) -> None:
    objects = manifests("inv", image="shop:1", postgres="10.90.0.1", redis="10.90.0.1", password="s3cret-value")
    objects[1]["metadata"]["annotations"] = HELM
    await fill(api_pair[0], objects)
    found = await collect(api_pair, "inv")

    text = TypeAdapter(Inventory).dump_json(found).decode()
    assert "s3cret-value" not in text
    assert "czNjcmV0LXZhbHVl" not in text, "nor in base64"
    assert TypeAdapter(Inventory).validate_json(text) == found
    assert json.loads(text)["source"]["name"] == "legacy"

    subjects = {subject(item) for item in found.source.objects}
    expected = {f"{item['kind']} inv/{item['metadata']['name']}" for item in objects if item["kind"] != "Namespace"}
    assert expected <= subjects
    assert "Namespace inv" in subjects
    assert not any(name.endswith(" default") and name.startswith("Namespace") for name in subjects)

    web = next(service for service in found.services if service.id == ServiceId("inv", "web"))
    assert [ref.name for ref in web.workloads] == ["web"]
    assert {edge.callee.name for edge in found.edges if edge.caller.name == "orders"} >= {"stock", "payments"}
    assert {owner.by for owner in found.owners if owner.ref.name == "shop" and owner.ref.kind == "ConfigMap"} == {
        "helm"
    }
    assert {owner.by for owner in found.owners if owner.ref.name == "catalog" and owner.ref.kind == "Deployment"} == {
        "helm",
        "hpa",
    }
    assert "apps/Deployment" in found.target.served
    assert found.notes == ()


async def test_secrets_have_keys_and_a_digest_only(api_pair: tuple[ApiServer, ApiServer]) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "token",
            "namespace": "default",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data":{"a":"aHVudGVyMg=="}}'},
        },
        "stringData": {"a": "hunter2", "b": ""},
    }
    await fill(api_pair[0], [secret])
    first = await collect(api_pair, "default")
    again = await collect(api_pair, "default")
    kept = [item for item in first.source.objects if item["kind"] == "Secret" and item["metadata"]["name"] == "token"]
    assert kept[0]["data"] == {"a": None, "b": None}
    assert kept == [item for item in again.source.objects if item == kept[0]], "the digest is stable"
    text = json.dumps(kept)
    assert "hunter2" not in text
    assert "aHVudGVyMg" not in text
    assert "uid" not in kept[0]["metadata"], "the digest's key is not beside it"


async def restricted(k8s: Kubernetes, name: str, rules: list[dict[str, Any]]) -> Context:
    """The context of a ServiceAccount with these rights and no others."""
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject_ = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    version = "rbac.authorization.k8s.io/v1"
    await k8s.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}})
    await k8s.apply({"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
    await k8s.apply(
        {
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": ref,
            "subjects": [subject_],
        }
    )
    path = f"/api/v1/namespaces/default/serviceaccounts/{name}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await k8s.request("POST", path, content=request)).json()["status"]["token"]
    return replace(k8s.context, user={"token": token})


def reads(*resources: str) -> list[dict[str, Any]]:
    return [{"apiGroups": ["*"], "resources": list(resources), "verbs": ["list"]}]


async def test_a_missing_right_is_named(api_pair: tuple[ApiServer, ApiServer]) -> None:
    async with (
        Kubernetes.connect(api_pair[0].kubeconfig, name="legacy") as old,
        Kubernetes.connect(api_pair[1].kubeconfig, name="eks") as new,
    ):
        narrow = await restricted(old, "no-secrets", reads("services", "configmaps", "deployments", "serviceaccounts"))
        async with Kubernetes.connect(narrow, name="legacy") as reader:
            with pytest.raises(AccessError, match="no permission to list secrets in 'legacy'") as caught:
                await KubernetesSource(reader, new, ["default"]).collect()
        assert "list on secrets" in caught.value.advice


async def test_what_need_not_be_read_is_noted(api_pair: tuple[ApiServer, ApiServer]) -> None:
    needed = ("services", "configmaps", "deployments", "serviceaccounts", "secrets", "namespaces")
    async with (
        Kubernetes.connect(api_pair[0].kubeconfig, name="legacy") as old,
        Kubernetes.connect(api_pair[1].kubeconfig, name="eks") as new,
    ):
        narrow = await restricted(old, "only-needed", reads(*needed))
        async with Kubernetes.connect(narrow, name="legacy") as reader:
            found = await KubernetesSource(reader, new, ["default"]).collect()
    assert any(note.startswith("legacy: ingresses.networking.k8s.io could not be listed") for note in found.notes)
    assert not any("secrets" in note for note in found.notes)


async def test_many_namespaces_and_custom_kinds(api_pair: tuple[ApiServer, ApiServer]) -> None:
    plural, group = "parcels", "post.example"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": "Parcel"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    spaces = [f"many-{n}" for n in range(6)]
    async with Kubernetes.connect(api_pair[0].kubeconfig) as k8s:
        await k8s.apply(definition)

        async def served() -> bool:
            return (group, "Parcel") in await k8s.served()

        await wait_for(served, what="the kind is served", within=20, clock=SystemClock())
        for space in spaces:
            await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
            meta = {"name": "p", "namespace": space}
            await k8s.apply({"apiVersion": f"{group}/v1", "kind": "Parcel", "metadata": meta, "spec": {"to": "eks"}})
    found = await collect(api_pair, *spaces[:5])
    parcels = [item for item in found.source.objects if item["kind"] == "Parcel"]
    assert [item["metadata"]["namespace"] for item in parcels] == spaces[:5]
    assert "post.example/Parcel" in found.source.served
    assert "post.example/Parcel" not in found.target.served
    definitions = [item for item in found.source.objects if item["kind"] == "CustomResourceDefinition"]
    assert "schema" not in definitions[0]["spec"]["versions"][0]
