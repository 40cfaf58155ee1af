"""Everything exported both ways, as Tradeshift's selector does it: two leaders, and no mirror of a mirror."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from landbridge.agent import names
from landbridge.clients.kubernetes import SERVICE, Kubernetes
from landbridge.lab import ApiServer
from landbridge.model.exports import Exports
from tests.agent.bed import CLOCK, Bed, dumps
from tests.agent.pair import Pair
from tests.linkerd_cases.joined import LENGTHS

pytestmark = pytest.mark.asyncio(loop_scope="module")
Servers = tuple[ApiServer, ApiServer]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(api_pair: Servers, prefix: str) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        beds: list[Bed] = []
        for server in api_pair:
            k8s = await stack.enter_async_context(Kubernetes.connect(server.kubeconfig, name=server.name))
            bed = Bed(k8s, server.kubeconfig, prefix, cluster=server.name)
            bed.namespace = beds[0].namespace if beds else bed.namespace
            beds.append(await stack.enter_async_context(bed))
        legacy, eks = beds
        found = Pair(legacy, eks)
        policy = Exports(everything=True, include=(f"{legacy.namespace}/*",), exclude=("*/secret",)).document()
        await found.secrets(legacy, eks, f"{prefix}.30:15443", exports=policy)
        await found.secrets(eks, legacy, f"{prefix}.20:15443", exports=policy)
        for name in ("web", "api", "secret"):
            await legacy.service(name, selector={"app": name})
        for name in ("web", "stock"):
            await eks.service(name, selector={"app": name})
        for bed, number, other in ((legacy, 20, "eks"), (eks, 30, "legacy")):
            found.seats.append(await found.seat(bed, "gateway", number, other, exports=dumps(policy)))
        yield found


async def names_in(bed: Bed) -> set[str]:
    return {item["metadata"]["name"] for item in await bed.k8s.list(SERVICE, bed.namespace)}


@pytest.mark.parametrize("still", LENGTHS)
async def test_a08_everything_exported_both_ways_makes_no_mirrors_of_mirrors(pair: Pair, still: float) -> None:
    legacy = {"web", "api", "secret", "web-eks", "stock-eks"}
    eks = {"web", "stock", "web-legacy", "api-legacy"}

    async def as_it_should_be() -> bool:
        return (await names_in(pair.legacy), await names_in(pair.eks)) == (legacy, eks)

    await pair.eventually(as_it_should_be, "each side has the other's own Services")
    for bed, name in ((pair.legacy, "web-eks"), (pair.eks, "web-legacy")):
        label = {"metadata": {"labels": {names.EXPORTED: "true"}}}
        await bed.k8s.patch(SERVICE, name, label, bed.namespace)
    until = CLOCK.monotonic() + still

    async def still_so() -> bool:
        assert await as_it_should_be()
        return CLOCK.monotonic() > until

    await pair.eventually(still_so, "and stays so, whatever label a mirror is given", still + 30)

    async def taken_off() -> bool:
        return names.label(await pair.legacy.get_service("web-eks"), names.EXPORTED) == ""

    await pair.eventually(taken_off, "the label is taken off again")
