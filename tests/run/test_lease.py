"""The run lease on a real API server."""

from __future__ import annotations

import uuid

import pytest

from landbridge.clients.kinds import LEASE
from landbridge.clock import SystemClock
from landbridge.errors import DriftError, Exit
from landbridge.run import lease as leases
from landbridge.run.lease import RunLease
from landbridge.run.turns import FenceError
from tests.fakes import FakeClock
from tests.run.conftest import Pair

pytestmark = pytest.mark.api


@pytest.fixture
async def clusters(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(leases, "NAME", f"run-{uuid.uuid4().hex[:6]}")
    return pair


def lease(pair: Pair, holder: str, ttl: float = 2.0) -> RunLease:
    return RunLease((pair.source, pair.target), holder, ttl=ttl, clock=SystemClock())


async def test_a_living_holder_is_named_and_left_alone(clusters: Pair) -> None:
    first = lease(clusters, "ada")
    await first.acquire()
    found = await clusters.source.get(LEASE, leases.NAME, leases.NAMESPACE)
    assert found["spec"]["holderIdentity"] == "ada"

    class Renewing(SystemClock):
        async def sleep(self, seconds: float) -> None:
            for held in first.leases.values():
                await held.renew()
            await super().sleep(seconds / 10)

    second = RunLease((clusters.source, clusters.target), "bob", ttl=2.0, clock=Renewing())
    with pytest.raises(DriftError, match="another runner is at work: ada") as caught:
        await second.acquire()
    assert caught.value.exit_code is Exit.DRIFT


async def test_a_dead_holder_is_followed_with_a_higher_token(clusters: Pair) -> None:
    first, second = lease(clusters, "ada"), lease(clusters, "bob")
    await first.acquire()
    await second.acquire()
    assert int(second.token("legacy")) == int(first.token("legacy")) + 1
    with pytest.raises(FenceError, match="held by bob"):
        for held in first.leases.values():
            await held.renew()
    with pytest.raises(FenceError):
        first.check()
    second.check()


async def test_the_same_folder_goes_on_at_once_with_the_same_token(clusters: Pair) -> None:
    first, again = lease(clusters, "ada", ttl=60), lease(clusters, "ada", ttl=60)
    await first.acquire()
    await again.acquire()
    assert again.token("eks") == first.token("eks")
    again.check()


async def test_an_old_lease_does_not_allow_to_write(clusters: Pair) -> None:
    clock = FakeClock()
    held = RunLease((clusters.source, clusters.target), "ada", ttl=15.0, clock=clock)
    await held.acquire()
    held.check()
    clock.at += 16
    with pytest.raises(Exception, match="could not be renewed for 16 s"):
        held.check()
    for each in held.leases.values():
        await each.renew()
    held.check()


async def test_a_lease_given_back_is_free_at_once(clusters: Pair) -> None:
    first, second = lease(clusters, "ada", ttl=60), lease(clusters, "bob", ttl=60)
    await first.acquire()
    await first.release()
    await second.acquire()
    second.check()
