from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent.lease import Leases, Sighting, gone_home, sight
from landbridge.clients.answers import UnavailableError
from landbridge.laws import lease as law
from landbridge.model.service import Manifest
from tests.fakes import FakeClock


def lease(renewed: str = "a", holder: str = "run-1") -> Manifest:
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseTransitions": 3, "leaseDurationSeconds": 15}
    return {"spec": spec}


def watch(seen: Sighting | None, found: Manifest | None, start: float, seconds: float) -> Sighting:
    """Read once a second."""
    for step in range(int(seconds) + 1):
        seen = sight(seen, found, start + step)
    assert seen is not None
    return seen


def test_a_lease_expires_when_it_stood_still_for_its_duration() -> None:
    assert watch(None, lease(), 100, 14).expired_at is None
    assert watch(None, lease(), 100, 15).expired_at == 115


def test_a_renewal_begins_anew() -> None:
    seen = watch(None, lease("a"), 100, 14)
    assert watch(seen, lease("b"), 115, 14).expired_at is None


def test_time_without_an_api_server_does_not_count() -> None:
    """waypoint.md 11: an agent that is cut off cannot tell a dead runner from a dead API server."""
    seen = watch(None, lease(), 100, 10)
    assert sight(seen, lease(), 160).expired_at is None
    assert watch(seen, lease(), 160, 14).expired_at is None
    assert watch(seen, lease(), 160, 15).expired_at == 175


def test_once_expired_it_stays_so_over_a_gap_until_it_is_renewed() -> None:
    seen = watch(None, lease("a"), 100, 15)
    assert sight(seen, lease("a"), 1000).expired_at == 115
    assert sight(seen, lease("b"), 1001).expired_at is None


def test_a_lease_that_does_not_exist_is_renewed_by_nobody() -> None:
    assert watch(None, None, 100, 15).expired_at == 115


def test_going_home_is_paced_and_the_same_for_every_agent() -> None:
    expired = [(f"svc{number:03}", 100.0) for number in range(100)]
    assert len(gone_home(expired, 100.0)) == 1
    for after in (0.5, 1.0, 2.0, 4.0):
        at = 100 + after
        assert len(gone_home(expired, at)) <= law.PER_SECOND * after + 1
        assert gone_home(expired, at) == gone_home(list(reversed(expired)), at)
    assert len(gone_home(expired, 105.0)) == 100


@given(st.lists(st.tuples(st.text(min_size=1, max_size=4), st.floats(0, 100)), max_size=30, unique_by=lambda p: p[0]))
def test_who_is_home_stays_home(expired: list[tuple[str, float]]) -> None:
    before: frozenset[str] = frozenset()
    for at in range(0, 110, 3):
        now = gone_home(expired, at)
        assert before <= now
        before = now


class Api:
    """Answers with a lease, or not at all."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lease: Manifest | None = lease()
        self.away = False

    async def find(self, *_: object) -> Manifest | None:
        if self.away:
            raise UnavailableError("away")
        return self.lease


async def test_reading_from_a_dead_api_server_is_no_news() -> None:
    api = Api()
    leases = Leases(api)  # type: ignore[arg-type]
    for _ in range(10):
        await leases.poll({"landbridge-run"})
        api.clock.at += 1
    api.away = True
    for _ in range(60):
        await leases.poll({"landbridge-run"})
        api.clock.at += 1
    assert leases.expired_at("landbridge-run") is None
    api.away = False
    await leases.poll({"landbridge-run"})
    assert leases.expired_at("landbridge-run") is None
    assert leases.report()["landbridge-run"]["expired"] is False


async def test_an_agent_that_restarts_remembers_what_had_expired() -> None:
    api = Api()
    first = Leases(api)  # type: ignore[arg-type]
    for _ in range(17):
        await first.poll({"landbridge-run"})
        api.clock.at += 1
    assert first.expired()
    again = Leases(api, first.expired())  # type: ignore[arg-type]
    await again.poll({"landbridge-run"})
    assert again.expired_at("landbridge-run") is not None
    api.lease = lease("renewed")
    await again.poll({"landbridge-run"})
    assert again.expired_at("landbridge-run") is None


async def test_a_lease_that_no_split_names_is_forgotten() -> None:
    api = Api()
    leases = Leases(api)  # type: ignore[arg-type]
    await leases.poll({"a"})
    await leases.poll({"b"})
    assert set(leases.sightings) == {"b"}
