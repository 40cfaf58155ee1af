from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from landbridge.clients.kubernetes import Kubernetes
from landbridge.lab import ApiServer
from tests.agent.bed import Bed, local_addresses


@pytest.fixture(scope="session")
def prefix() -> Iterator[str]:
    with local_addresses() as found:
        yield found


@pytest.fixture
async def bed(api: ApiServer, prefix: str) -> AsyncIterator[Bed]:
    async with (
        Kubernetes.connect(api.kubeconfig, name=api.name) as k8s,
        Bed(k8s, api.kubeconfig, prefix) as bed,
    ):
        yield bed
