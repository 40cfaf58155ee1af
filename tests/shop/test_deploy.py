"""The shop in pods of the lab."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from landbridge.clients.kinds import CRONJOB
from landbridge.clients.kubernetes import NAMESPACE, POD, Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.lab import Lab
from landbridge.lab.cluster.reach import wait_reachable
from landbridge.lab.shop.deploy import OWNER, deploy
from landbridge.lab.shop.evidence import read_runs

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab")]

CLOCK = SystemClock()


@pytest.fixture
async def cluster(lab: Lab) -> AsyncIterator[Kubernetes]:
    async with Kubernetes.connect(Path(lab.cluster("eks").kubeconfig), name="eks") as cluster:
        yield cluster


async def start_report(cluster: Kubernetes, namespace: str, minute: int) -> None:
    """The Job that the CronJob's controller would make for one minute of the schedule; nobody waits for it to come."""
    template = (await cluster.get(CRONJOB, "report", namespace))["spec"]["jobTemplate"]
    meta = {"name": f"report-{minute}", "namespace": namespace}
    await cluster.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"]})


async def test_the_shop_serves_in_pods_and_its_report_runs(lab: Lab, cluster: Kubernetes) -> None:
    if lab.databases is None:
        pytest.skip("this lab was brought up without databases")
    namespace = f"shop-{secrets.token_hex(3)}"
    try:
        objects = await deploy(cluster, lab.databases, lab.images["shop"], clock=CLOCK, namespace=namespace)
        await wait_reachable(cluster, lab.cluster("eks"), [namespace])
        pods = await cluster.list(POD, namespace, labels="app=web")
        assert len(pods) == 2
        for pod in pods:
            path = f"/api/v1/namespaces/{namespace}/pods/{pod['metadata']['name']}:8080/proxy"
            page = await cluster.request("GET", f"{path}/", params={"person": "7"})
            assert page.json()["hello"] == "Frances"
            assert set(page.headers["x-served-chain"].split(",")) == {
                "web@eks", "catalog@eks", "users@eks", "cart@eks",
            }  # fmt: skip
            order = await cluster.request("POST", f"{path}/buy", params={"person": "7", "item": "3", "key": namespace})
            assert {"orders@eks", "payments@eks", "ledger@eks", "stock@eks"} < set(
                order.headers["x-served-chain"].split(",")
            )
        for manifest in objects:
            await cluster.apply(manifest, manager=OWNER)  # owners apply again, and nothing is in their way

        databases, scheduled = lab.databases, int(CLOCK.now() // 60) + 600
        await start_report(cluster, namespace, scheduled)

        async def reported() -> bool:
            return "eks" in (await read_runs(databases)).get(scheduled * 60.0, ())

        await wait_for(reported, what="a report of the new shop", within=60, clock=CLOCK, every=1)
    finally:
        await cluster.delete(NAMESPACE, namespace)
