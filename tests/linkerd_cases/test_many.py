"""409 mirrors, as many as Tradeshift had: a restart, deletions while the leader is down, and looking again.

The leader and both API servers are real; waypoints and the far gateway are stand-ins, for 409 listeners cost minutes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from benchmarks.leader import Bed, Seen, clusters, export, joined, many, quiet, watched, writes

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.lab import ApiServer

pytestmark = [pytest.mark.api, pytest.mark.asyncio(loop_scope="module")]
MANY = 409
QUIET = 5.0


class Crowd:
    """Both clusters, the leader, and who watches."""

    def __init__(self, legacy: Kubernetes, eks: Kubernetes, api: ApiServer, bed: Bed, seen: Seen) -> None:
        self.legacy, self.eks, self.api, self.bed, self.seen = legacy, eks, api, bed, seen

    def versions(self) -> dict[tuple[str, str, str], str]:
        """The version of every mirror and of every slice of ours."""
        kinds = {"Service": self.seen.services, "EndpointSlice": self.seen.slices}
        return {
            (kind, *key): item["metadata"]["resourceVersion"]
            for kind, informer in kinds.items()
            for key, item in informer.items.items()
        }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd() -> AsyncIterator[Crowd]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make addresses local")
    async with clusters() as (legacy, eks, api), joined(legacy, eks, 1) as bed, watched(legacy) as seen:
        await export(eks, [("team-00", f"svc-{n:04d}") for n in range(MANY)])
        await bed.start()
        await seen.until(lambda: seen.mirrors == MANY == seen.ready, 240)
        yield Crowd(legacy, eks, api, bed, seen)


async def test_i05_a15_looking_again_at_409_mirrors_writes_nothing(crowd: Crowd) -> None:
    """Twice five seconds are a watch's length at the other API server: its watches began again meanwhile."""
    assert crowd.seen.lost == 0, "the number of mirrors never went back"
    await quiet(crowd.api, QUIET)
    before, written = crowd.versions(), writes(crowd.api)
    await quiet(crowd.api, QUIET)
    assert writes(crowd.api) == written
    assert crowd.versions() == before


async def test_a04_restart_with_409_mirrors_deletes_nothing(crowd: Crowd) -> None:
    await quiet(crowd.api, 2)
    before, written = crowd.versions(), writes(crowd.api)
    await crowd.bed.kill()
    await crowd.bed.start()
    await crowd.bed.leads(ready=MANY)
    await quiet(crowd.api, QUIET)
    assert crowd.versions() == before
    assert writes(crowd.api) == written
    assert crowd.seen.lost == 0


async def test_a05_50_deleted_while_the_leader_was_down_go_at_its_start(crowd: Crowd) -> None:
    await quiet(crowd.api, 2)
    before = crowd.versions()
    doomed = {f"svc-{n:04d}" for n in range(50)}
    await crowd.bed.kill()
    await many(crowd.eks.delete(SERVICE, name, "team-00") for name in sorted(doomed))
    assert crowd.seen.mirrors == MANY
    await crowd.bed.start()
    await crowd.seen.until(lambda: crowd.seen.mirrors == MANY - 50, 120)
    await quiet(crowd.api, QUIET)
    after = crowd.versions()
    kept = {key: version for key, version in before.items() if key[2].partition("-eks")[0] not in doomed}
    assert {key: after.get(key) for key in kept} == kept
