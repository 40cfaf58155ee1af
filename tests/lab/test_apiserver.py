"""API servers alone: they answer, keep an audit log, and go away with their user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from landbridge.clients.kubernetes import CONFIGMAP, NAMESPACE, Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.lab import ApiServer, apiserver
from landbridge.lab.host.processes import find_marked

pytestmark = pytest.mark.api


async def test_objects_are_kept_and_audited(api: ApiServer) -> None:
    async with Kubernetes.connect(api.kubeconfig) as k8s:
        await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "audited"}})
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "audited"}}
        await k8s.apply({**config, "data": {"k": "v"}})
        assert (await k8s.get(CONFIGMAP, "a", "audited"))["data"] == {"k": "v"}

    async def is_audited() -> bool:
        lines = [json.loads(line) for line in api.audit.read_text().splitlines()]
        return any(line["verb"] == "patch" and line["objectRef"].get("namespace") == "audited" for line in lines)

    await wait_for(is_audited, what="the write is in the audit log", within=10, clock=SystemClock())


async def test_pair_are_two(api_pair: tuple[ApiServer, ApiServer]) -> None:
    async with Kubernetes.connect(api_pair[0].kubeconfig) as old, Kubernetes.connect(api_pair[1].kubeconfig) as new:
        await old.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "only-here"}})
        assert await old.find(NAMESPACE, "only-here")
        assert await new.find(NAMESPACE, "only-here") is None
    assert [server.context for server in api_pair] == ["legacy", "eks"]


async def test_controllers_make_service_accounts() -> None:
    async with apiserver(controllers=True) as server, Kubernetes.connect(server.kubeconfig) as k8s:
        await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})

        async def has_account() -> bool:
            answer = await k8s.request("GET", "/api/v1/namespaces/n/serviceaccounts")
            return bool(answer.json()["items"])

        await wait_for(has_account, what="the default ServiceAccount exists", within=20, clock=SystemClock())
    assert not server.plane.folder.exists()
    assert not find_marked(server.plane.folder)


STARTER = """
import asyncio, signal
from landbridge.lab import start_apiserver
server = asyncio.run(start_apiserver(say=lambda line: None))
print(server.plane.folder, flush=True)
signal.pause()
"""


async def test_killed_user_leaves_no_process() -> None:
    child = subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    assert child.stdout
    with child.stdout:
        folder = Path(child.stdout.readline().strip())
    assert len(find_marked(folder)) == 2
    os.kill(child.pid, signal.SIGKILL)
    child.wait()

    async def are_gone() -> bool:
        return not find_marked(folder)

    await wait_for(are_gone, what="etcd and API server died with their user", within=10, clock=SystemClock())
    async with apiserver():
        assert not folder.exists()
