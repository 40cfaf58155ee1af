"""The lab's clusters run pods and reach each other; what stops in the control plane stops no traffic."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from landbridge.clients.kubernetes import DEPLOYMENT, NAMESPACE, POD, SERVICE, Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.lab import Lab, build_image
from landbridge.lab.cluster.reach import wait_reachable
from landbridge.lab.host.command import run
from landbridge.lab.load import Mode, Target, generate
from landbridge.lab.load.pods import get_manifests

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab")]

NAME = "lab-echo"
PROGRAM = """
import asyncio, os
ANSWER = f"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nx-served-by: {os.environ['NODE']}\\r\\n\\r\\n".encode()
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "", 8080, backlog=512)
    await server.serve_forever()
asyncio.run(main())
"""


def _echo(image: str) -> list[dict[str, Any]]:
    meta = {"name": "echo", "namespace": NAME}
    labels = {"app": "echo"}
    container = {
        "name": "echo",
        "image": image,
        "command": ["python3", "-c", PROGRAM],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "5m"}},
        "securityContext": {"runAsUser": 65534, "runAsNonRoot": True},
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    ports = [{"port": 80, "targetPort": 8080}]
    service = {"type": "LoadBalancer", "selector": labels, "ports": ports}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service},
    ]


async def _deploy(lab: Lab, cluster: str) -> str:
    """The echo in a cluster, ready; returns its LoadBalancer address."""
    async with Kubernetes.connect(lab.cluster(cluster).kubeconfig) as k8s:
        for manifest in _echo(lab.images["python"]):
            await k8s.apply(manifest)

        async def address() -> str:
            deployment = await k8s.get(DEPLOYMENT, "echo", NAME)
            service = await k8s.get(SERVICE, "echo", NAME)
            ingress = service["status"]["loadBalancer"].get("ingress", [{}])
            return str(ingress[0].get("ip", "")) if deployment["status"].get("readyReplicas") else ""

        given = await wait_for(address, what=f"the echo in {cluster} is ready", within=60, clock=SystemClock())
        await wait_reachable(k8s, lab.cluster(cluster), [NAME])
        return given


@pytest.fixture
async def addresses(lab: Lab) -> AsyncIterator[dict[str, str]]:
    """LoadBalancer addresses of an echo in each cluster."""
    names = [place.name for place in lab.clusters]
    found = await asyncio.gather(*(_deploy(lab, name) for name in names))
    yield dict(zip(names, found, strict=True))
    for place in lab.clusters:
        async with Kubernetes.connect(place.kubeconfig) as k8s:
            await k8s.delete(NAMESPACE, NAME)


async def test_pods_of_one_cluster_reach_the_other(lab: Lab, addresses: dict[str, str], tmp_path: Path) -> None:
    """Load from a pod in `legacy`, by DNS name to its own cluster and by LoadBalancer address to the other."""
    host = f"echo.{NAME}.svc.cluster.local"
    targets = [
        Target(name="here", mode=Mode.HTTP, host=host, port=80, rate=40),
        Target(name="there", mode=Mode.HTTP, host=addresses["eks"], port=80, rate=40, fresh=True),
    ]
    manifests = get_manifests(
        targets, image=lab.images["landbridge"], results=tmp_path, namespace=NAME, name="load", seconds=3
    )
    async with Kubernetes.connect(lab.cluster("legacy").kubeconfig) as k8s:
        for manifest in manifests:
            await k8s.apply(manifest, force=True)

        async def has_ended() -> str:
            pod = await k8s.get(POD, "load", NAME)
            phase = str(pod["status"].get("phase", ""))
            return phase if phase in {"Succeeded", "Failed"} else ""

        ended = await wait_for(has_ended, what="the load has ended", within=90, clock=SystemClock(), every=0.5)
        assert ended == "Succeeded", await k8s.logs("load", NAME)
    summary = json.loads((tmp_path / "load.jsonl").read_text().splitlines()[-1])
    assert summary["line"] == "summary"
    assert summary["ok"] == summary["requests"] >= 200
    assert summary["targets"]["here"]["sides"] == {"legacy": summary["targets"]["here"]["requests"]}
    assert summary["targets"]["there"]["sides"] == {"eks": summary["targets"]["there"]["requests"]}


async def test_traffic_outlives_the_api_server(lab: Lab, addresses: dict[str, str]) -> None:
    target = Target(name="echo", mode=Mode.HTTP, host=addresses["eks"], port=80, rate=50, fresh=True)
    stop = asyncio.Event()
    lines: list[str] = []
    load = asyncio.create_task(generate([target], seconds=120, write=lines.append, clock=SystemClock(), stop=stop))
    await lab.stop_apiserver("eks")
    async with Kubernetes.connect(lab.cluster("eks").kubeconfig) as k8s:
        with pytest.raises(Exception, match="cannot be reached"):
            await k8s.version()
        await lab.start_apiserver("eks")
        assert (await k8s.version()).startswith("v1.")
    stop.set()
    summary = await load
    assert summary["ok"] == summary["requests"] > 0, lines[-3:]


async def test_an_image_is_loaded_everywhere(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello")
    reference = "example.test/lab-hello:1"
    await lab.load_image(build_image(tmp_path, reference, say=lambda _: None))
    for place in lab.clusters:
        for node in place.nodes:
            assert reference in await run("ctr", "-a", str(node.socket), "-n", "k8s.io", "images", "ls", "-q")


def test_the_description_is_what_other_programs_rely_on(lab: Lab) -> None:
    said = lab.describe()
    assert {"kubeconfig", "clusters", "images"} <= set(said)
    assert "python" in said["images"]
    for cluster in said["clusters"]:
        assert {"name", "context", "kubeconfig", "netns", "node_ip", "version"} <= set(cluster)
        assert Path(cluster["kubeconfig"]).exists()
        assert Path(cluster["audit"]).exists()
