"""A lab leaves nothing behind: not after a normal end, and not after it was killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from landbridge.clients.kubernetes import POD, Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.errors import LandbridgeError
from landbridge.lab import Lab, get_lab, up
from landbridge.lab import state as states
from landbridge.lab.clear import find_remains
from landbridge.lab.databases import read as read_databases
from landbridge.lab.host import network
from landbridge.lab.lab import clear_abandoned
from landbridge.lab.place import MAX_INDEX, Site, get_site

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab")]


def _find_free() -> Site:
    """A place from the far end, where nobody looks for a free index."""
    return next(get_site(i) for i in range(MAX_INDEX, 0, -1) if i not in states.find_indexes())


async def test_killed_in_the_middle_of_starting() -> None:
    site = _find_free()
    argv = [sys.executable, "-m", "landbridge.lab", "up", "--clusters", "one", "--index", str(site.index)]
    child = await asyncio.create_subprocess_exec(*argv, stderr=subprocess.DEVNULL)

    async def is_half_way() -> bool:
        names = {remain.split()[0] for remain in find_remains(site)}
        return {"process", "namespace", "interface", "folder"} <= names

    await wait_for(is_half_way, what="the lab is half way up", within=120, clock=SystemClock(), every=0.05)
    child.kill()
    await child.wait()
    state = states.read(site.index)
    assert state
    assert state.is_abandoned
    assert site.index in await clear_abandoned(clock=SystemClock())
    assert find_remains(site) == []


async def test_with_pods_and_databases_nothing_is_left(lab: Lab) -> None:
    site = _find_free()
    others = set(network.find(lab.state.site))
    async with up(clusters=("one",), index=site.index, databases=True, say=lambda _: None) as own:
        databases = read_databases(site)
        assert databases
        await _run_pod(own, databases.postgres, databases.redis)
        with pytest.raises(LandbridgeError, match="is there already"):
            async with up(index=site.index, say=lambda _: None):
                pass
        with pytest.raises(LandbridgeError):
            get_lab(MAX_INDEX + 1)
    assert find_remains(site) == []
    assert others
    assert set(network.find(lab.state.site)) == others, "the other lab was left alone"


async def _run_pod(lab: Lab, *addresses: str) -> None:
    """A pod that reaches the databases and stays."""
    dial = "; ".join(f"socket.create_connection({tuple(a.split(':'))!r}, 5).close()" for a in addresses)
    program = f"import socket, time; {dial}; print('reached', flush=True); time.sleep(600)"
    container = {"name": "it", "image": lab.images["python"], "command": ["python3", "-c", program]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "it", "namespace": "default"},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }
    async with Kubernetes.connect(lab.clusters[0].kubeconfig) as k8s:

        async def is_made() -> bool:
            try:
                await k8s.create(pod)
            except LandbridgeError:  # the default ServiceAccount comes a moment after the namespace
                return await k8s.find(POD, "it", "default") is not None
            return True

        async def has_reached() -> bool:
            try:
                return "reached" in await k8s.logs("it", "default")
            except LandbridgeError:
                return False

        await wait_for(is_made, what="the pod is made", within=30, clock=SystemClock())
        await wait_for(has_reached, what="the pod reached the databases", within=60, clock=SystemClock())
