from __future__ import annotations

import asyncio
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
from landbridge.linkerd.versions import POLICY_ROUTES, PROFILES
from tests.linkerd.definitions import policy_routes, profiles

NAME = "httproutes.gateway.networking.k8s.io"


@pytest.fixture
async def k8s(api: ApiServer) -> AsyncIterator[Kubernetes]:
    """A cluster that serves every kind of split: HTTPRoute as Gateway API publishes it, with all its rules."""
    async with Kubernetes.connect(Path(api.kubeconfig), name="legacy") as client:
        await provide(client)
        if await client.find(CRD, NAME) is None:
            published = await fetch(GATEWAY_API, say=print)
            text = (published / "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml").read_text()
            await client.create(yaml.safe_load(text))
        for definition in (policy_routes(), profiles()):
            if await client.find(CRD, definition["metadata"]["name"]) is None:
                await client.create(definition, manager="linkerd")

        async def served() -> bool:
            found = await asyncio.gather(*(client.get(CRD, name) for name in (NAME, POLICY_ROUTES, PROFILES)))
            told = [(item.get("status") or {}).get("conditions") or () for item in found]
            return all(any(c["type"] == "Established" for c in conditions) for conditions in told)

        await wait_for(served, what="HTTPRoute and ServiceProfile served", within=20, clock=SystemClock())
        yield client
