"""A copy between two real API servers: right, repeatable without a write, and never over somebody else's object."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from landbridge.clients.kinds import CONFIGMAP, DEPLOYMENT, NAMESPACE, SECRET, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.errors import BlockedError
from landbridge.lab import ApiServer
from landbridge.model.service import Manifest, ObjectRef
from landbridge.run.copy import copy, undo_copy
from landbridge.translate.kubernetes import transform
from landbridge.translate.rules import Keep, Rules

Pair = tuple[Kubernetes, Kubernetes]
RULES = Rules()
LABELS = {"app": "web"}


def thing(namespace: str, kind: str, api: str = "v1", name: str = "web", **rest: Any) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **rest}


def shop(namespace: str) -> list[Manifest]:
    pod = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "old/web:1"}]}}
    job = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "appProtocol": "http"}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"team": "a"}}},
        thing(namespace, "ServiceAccount"),
        thing(namespace, "Secret", stringData={"password": "correct horse"}),
        thing(namespace, "ConfigMap", data={"mode": "fast"}),
        thing(namespace, "Service", spec={"selector": LABELS, "ports": ports}),
        thing(
            namespace,
            "Deployment",
            "apps/v1",
            spec={"replicas": 2, "selector": {"matchLabels": LABELS}, "template": pod},
        ),
        thing(namespace, "CronJob", "batch/v1", spec={"schedule": "*/5 * * * *", "jobTemplate": {"spec": job}}),
        thing(namespace, "PodDisruptionBudget", "policy/v1", spec={"selector": {"matchLabels": LABELS}}),
    ]


@pytest.fixture
async def pair(api_pair: tuple[ApiServer, ApiServer]) -> AsyncIterator[Pair]:
    old, new = api_pair
    async with (
        Kubernetes.connect(old.kubeconfig, name="legacy") as source,
        Kubernetes.connect(new.kubeconfig, name="eks") as target,
    ):
        yield source, target


async def fill(source: Kubernetes, namespace: str) -> list[ObjectRef]:
    for manifest in shop(namespace):
        await source.apply(manifest, manager="kubectl")
    return [ObjectRef.of(manifest) for manifest in shop(namespace)]


def writes(api: ApiServer, namespace: str) -> Iterator[str]:
    for line in api.audit.read_text().splitlines():
        event = json.loads(line)
        reference = event.get("objectRef") or {}
        if namespace not in (reference.get("namespace"), reference.get("name")) or "dryRun=All" in event["requestURI"]:
            continue
        if event["stage"] == "ResponseComplete" and event["verb"] in {"create", "update", "patch", "delete"}:
            yield f"{event['verb']} {event['requestURI']}"


def bare(manifest: Manifest) -> Manifest:
    answer = transform(manifest, RULES)
    assert isinstance(answer, Keep)
    return answer.manifest


async def test_copy_equals_the_source_but_for_the_rules(pair: Pair) -> None:
    source, target = pair
    done = await copy(source, target, await fill(source, "exact"), RULES)
    assert len(done.receipts) == 8
    assert all(receipt.prior is None for receipt in done.receipts)
    for ref in (receipt.ref for receipt in done.receipts):
        kind = await source.kind_of({"apiVersion": ref.api_version, "kind": ref.kind})
        here = await source.get(kind, ref.name, ref.namespace)
        there = await target.get(kind, ref.name, ref.namespace)
        assert bare(there) == bare(here), ref
    secret = await target.get(SECRET, "web", "exact")
    assert secret["data"] == (await source.get(SECRET, "web", "exact"))["data"]


async def test_second_copy_writes_nothing(pair: Pair, api_pair: tuple[ApiServer, ApiServer]) -> None:
    source, target = pair
    refs = await fill(source, "twice")
    await copy(source, target, refs, RULES)

    async def all_told() -> list[str] | None:
        found = list(writes(api_pair[1], "twice"))
        return found if len(found) >= 8 else None

    # a request is answered before it is in the log
    before = await wait_for(all_told, what="8 writes in the audit log", within=20, clock=SystemClock())
    assert len(before) == 8
    again = await copy(source, target, refs, RULES)
    assert again.receipts == ()
    await target.patch(CONFIGMAP, "web", {"data": {"mode": "last"}}, "twice")

    async def last_told() -> list[str] | None:
        found = list(writes(api_pair[1], "twice"))
        return found if len(found) > 8 else None

    after = await wait_for(last_told, what="the last write in the audit log", within=20, clock=SystemClock())
    assert after[:-1] == before, "nothing but the test's own write"


async def test_what_was_scaled_or_opened_since_stays_so(pair: Pair) -> None:
    source, target = pair
    refs = await fill(source, "scaled")
    await copy(source, target, refs, RULES)
    await target.scale(DEPLOYMENT, "web", "scaled", 7)
    await source.patch(CONFIGMAP, "web", {"data": {"mode": "slow"}}, "scaled")
    done = await copy(source, target, refs, RULES)
    assert [receipt.ref.kind for receipt in done.receipts] == ["ConfigMap"]
    assert done.receipts[0].prior is not None
    assert (await target.get(DEPLOYMENT, "web", "scaled"))["spec"]["replicas"] == 7


async def test_objects_of_others_are_left(pair: Pair) -> None:
    source, target = pair
    refs = await fill(source, "theirs")
    await target.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "theirs"}}, manager="team")
    await target.apply(thing("theirs", "ConfigMap", data={"mode": "theirs"}), manager="team")
    done = await copy(source, target, refs, RULES)
    assert (await target.get(CONFIGMAP, "web", "theirs"))["data"] == {"mode": "theirs"}
    assert any("ConfigMap theirs/web" in note and "somebody else" in note for note in done.notes)
    labels = (await target.get(NAMESPACE, "theirs"))["metadata"]["labels"]
    assert labels["team"] == "a"


async def test_nothing_is_written_when_one_object_is_refused(pair: Pair) -> None:
    source, target = pair
    refs = await fill(source, "refused")
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "refused"}}
    await target.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "refused"}})
    await target.apply(quota | {"spec": {"hard": {"services": "0"}}})

    async def usage_known() -> None:
        status = {"status": {"hard": {"services": "0"}, "used": {"services": "0"}}}
        kind = await target.kind_of(quota)
        await target.patch(kind, "q", status, "refused", subresource="status")

    await usage_known()
    with pytest.raises(BlockedError, match=r"Service refused/web: .*exceeded quota") as caught:
        await copy(source, target, refs, RULES)
    assert "nothing was written" in caught.value.advice
    assert await target.find(CONFIGMAP, "web", "refused") is None


async def test_dry_run_says_what_it_would_do(pair: Pair) -> None:
    source, target = pair
    said: list[str] = []
    done = await copy(source, target, await fill(source, "dry"), RULES, dry_run=True, say=said.append)
    assert len(done.receipts) == 8
    assert "would copy Service dry/web" in said
    assert await target.find(NAMESPACE, "dry") is None


async def test_secret_is_in_no_receipt(pair: Pair) -> None:
    source, target = pair
    refs = await fill(source, "secret")
    await copy(source, target, refs, RULES)
    await source.apply(thing("secret", "Secret", stringData={"password": "battery staple"}), manager="kubectl")
    done = await copy(source, target, refs, RULES)
    told = repr(done)
    assert [receipt.ref.kind for receipt in done.receipts] == ["Secret"]
    assert "Y29ycmVjdCBob3JzZQ" not in told
    assert "correct horse" not in told


async def test_undo_takes_away_only_what_is_ours(pair: Pair) -> None:
    source, target = pair
    refs = await fill(source, "undone")
    done = await copy(source, target, refs, RULES)
    await target.delete(SERVICE, "web", "undone")
    await target.apply(thing("undone", "Service", spec={"ports": [{"port": 1}]}), manager="team")
    notes = await undo_copy(target, done.receipts)
    assert await target.find(DEPLOYMENT, "web", "undone") is None
    assert await target.find(SECRET, "web", "undone") is None
    assert await target.find(SERVICE, "web", "undone")
    assert await target.find(NAMESPACE, "undone")
    assert any("taken over" in note for note in notes)
