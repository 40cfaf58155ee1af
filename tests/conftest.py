"""Real platforms for tests: `api` and `api_pair` (API servers alone), `lab` (two clusters with pods).

All are each worker's own, live as long as it does, and are taken away by it; brought up by the first test that asks.
LANDBRIDGE_TEST_LAB=<index> uses a lab that runs already. Tests make namespaces of their own in them; what is there
once in a cluster (landbridge's gateways, the run lease) is shared by the tests of one `xdist_group` at most.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
from hypothesis import settings

from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect.disconnect import disconnect
from landbridge.lab import ApiServer, Lab, get_lab, start_apiserver, start_lab, stop_apiserver, stop_lab

# how long an example takes says more about the machine's other work than about the code; with CI in the environment
# the same examples each time, so that a commit is not refused for what another one brought in
settings.register_profile("landbridge", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("landbridge")

T = TypeVar("T")
NAMED = "LANDBRIDGE_TEST_LAB"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that asks for a platform has the marker of it, also where its author forgot."""
    for item in items:
        asked = set(getattr(item, "fixturenames", ()))
        if asked & {"api", "api_pair"}:
            item.add_marker(pytest.mark.api)
        if asked & {"lab", "joinable"}:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def api() -> Iterator[ApiServer]:
    """An API server alone: `.name`, `.context`, `.kubeconfig`, `.audit`."""
    server = _run(start_apiserver(name="legacy", say=_say))
    yield server
    _run(stop_apiserver(server))


@pytest.fixture(scope="session")
def api_pair(api: ApiServer) -> Iterator[tuple[ApiServer, ApiServer]]:
    """Two API servers, `legacy` (which is `api`) and `eks`."""
    server = _run(start_apiserver(name="eks", say=_say))
    yield api, server
    _run(stop_apiserver(server))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two clusters with a node each, `legacy` and `eks`: `.clusters`, `.kubeconfig`, `.images`, `.load_image()`."""
    named = os.environ.get(NAMED)
    if named:
        yield get_lab(int(named))
        return
    started = _run(start_lab(owner=os.getpid(), databases=True, say=_say))
    yield started
    _run(stop_lab(started.state.index))


@pytest.fixture(scope="session")
def joinable(lab: Lab) -> Iterator[Lab]:
    """The lab's clusters for tests that join them for a namespace of their own; gateways go with the lab, or once."""
    yield lab
    if NAMED in os.environ:
        _run(_part(lab))


async def _part(lab: Lab) -> None:
    async with AsyncExitStack() as stack:
        opened = [Kubernetes.connect(place.kubeconfig, name=place.name) for place in lab.clusters]
        source, target = [await stack.enter_async_context(k8s) for k8s in opened]
        await disconnect(source, target)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop of its own, which leaves the loop of pytest-asyncio alone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


def _say(line: str) -> None:
    print(line, file=sys.__stderr__, flush=True)
