"""409 mirrors, as many as Tradeshift had: a restart, deletions while the leader is down, and looking again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable

import pytest
import pytest_asyncio

from landbridge.agent import names
from landbridge.clients.kubernetes import ENDPOINTSLICE, SERVICE
from landbridge.lab import ApiServer
from tests.agent.bed import CLOCK
from tests.linkerd_cases.joined import EXPORT, Joined, join

pytestmark = pytest.mark.asyncio(loop_scope="module")
Servers = tuple[ApiServer, ApiServer]
MANY = 409
QUIET = 10.0


async def some_at_a_time(work: Iterable[Awaitable[object]]) -> None:
    slots = asyncio.Semaphore(32)

    async def one(item: Awaitable[object]) -> None:
        async with slots:
            await item

    await asyncio.gather(*map(one, work))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def joined(api_pair: Servers, prefix: str) -> AsyncIterator[Joined]:
    async with join(api_pair, prefix) as found:
        made = [f"svc-{n:03d}" for n in range(MANY - 1)]  # and `web`
        await some_at_a_time(found.export(name) for name in made)

        async def all_ready() -> bool:
            mirrors = [key for key in await found.versions() if key.startswith("Service ")]
            slices = await found.legacy.k8s.list(ENDPOINTSLICE, found.legacy.namespace)
            good = [item for item in slices if names.ours(item) and item["endpoints"][0]["conditions"]["ready"]]
            return len(mirrors) == MANY == len(good)

        await found.eventually(all_ready, f"{MANY} mirrors are ready", 240)
        yield found
        left = await found.eks.k8s.list(SERVICE, found.eks.namespace, labels=f"{names.EXPORTED}=true")
        unexport = {"metadata": {"labels": dict.fromkeys(EXPORT)}}
        await some_at_a_time(
            found.eks.k8s.patch(SERVICE, item["metadata"]["name"], unexport, found.eks.namespace) for item in left
        )


def writes(api: ApiServer, namespace: str) -> Counter[str]:
    """What was written to Services and slices of a namespace so far, by verb and kind."""
    found: Counter[str] = Counter()
    for line in api.audit.read_text().splitlines():
        event = json.loads(line)
        ref = event.get("objectRef") or {}
        kinds = {"services", "endpointslices"}
        ours = ref.get("namespace") == namespace and ref.get("resource") in kinds
        if ours and event["stage"] == "ResponseComplete" and event["verb"] not in {"get", "list", "watch"}:
            found[f"{event['verb']} {ref['resource']}"] += 1
    return found


async def test_i05_a15_looking_again_at_409_mirrors_writes_nothing(joined: Joined, api: ApiServer) -> None:
    await joined.settled()
    before = writes(api, joined.legacy.namespace)
    assert before["create services"] == MANY, "each was made once"
    assert before["delete services"] == 0, "and none was taken away in between"
    until = CLOCK.monotonic() + QUIET

    async def over() -> bool:
        return CLOCK.monotonic() > until

    await joined.eventually(over, "ten seconds in which watches end and begin again", QUIET + 30)
    assert writes(api, joined.legacy.namespace) == before


async def test_a04_restart_with_409_mirrors_deletes_nothing(joined: Joined, api: ApiServer) -> None:
    before = await joined.settled()
    written = writes(api, joined.legacy.namespace)
    await joined.restart_leader()
    await joined.leader.until(lambda s: s["duties"]["links"]["eks"]["ready"] == MANY, "all were asked for again", 120)
    assert await joined.settled() == before
    assert writes(api, joined.legacy.namespace) == written


async def test_a05_50_deleted_while_the_leader_was_down_go_at_its_start(joined: Joined) -> None:
    before = await joined.settled()
    doomed = [f"svc-{n:03d}" for n in range(50)]
    space, k8s = joined.eks.namespace, joined.eks.k8s
    delete = some_at_a_time(k8s.delete(SERVICE, name, space) for name in doomed)
    await joined.restart_leader(meanwhile=[delete])

    async def gone() -> bool:
        left = await joined.versions()
        return len([key for key in left if key.startswith("Service ")]) == MANY - 50

    await joined.eventually(gone, "fifty mirrors are gone", 60)
    after = await joined.settled()
    kept = {key: version for key, version in before.items() if not any(f" {name}-" in key for name in doomed)}
    assert {key: after[key] for key in kept} == kept
