from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from landbridge.clients.kinds import CRD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.connect.crds import provide
from landbridge.lab import ApiServer
from landbridge.lab.host.modules import GATEWAY_API, fetch

NAME = "httproutes.gateway.networking.k8s.io"


@pytest.fixture
async def k8s(api: ApiServer) -> AsyncIterator[Kubernetes]:
    """A cluster that serves both kinds of split: HTTPRoute as Gateway API publishes it, with all its rules."""
    async with Kubernetes.connect(Path(api.kubeconfig), name="legacy") as client:
        await provide(client)
        if await client.find(CRD, NAME) is None:
            published = await fetch(GATEWAY_API, say=print)
            text = (published / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml").read_text()
            await client.create(yaml.safe_load(text))

        async def served() -> bool:
            found = await client.get(CRD, NAME)
            return any(c["type"] == "Established" for c in (found.get("status") or {}).get("conditions") or ())

        await wait_for(served, what="HTTPRoute served", within=20, clock=SystemClock())
        yield client
