"""Whose owners are looked at when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.service import ServiceId
from landbridge.run.owners import in_turn

SERVICES = st.lists(st.builds(ServiceId, st.sampled_from("abcde"), st.sampled_from("xyz")), unique=True)


@given(SERVICES, st.integers(0, 100))
def test_each_service_has_its_turn_once_in_as_many_looks_as_there_are_namespaces(
    services: list[ServiceId], first: int
) -> None:
    turns = max(2, len({service.namespace for service in services}))
    seen = [service for tick in range(first, first + turns) for service in in_turn(services, tick)]
    assert sorted(seen) == sorted(services)


def test_those_of_one_namespace_are_looked_at_every_other_time_beginning_with_the_first() -> None:
    one = [ServiceId("shop", "web"), ServiceId("shop", "cart")]
    assert [in_turn(one, tick) for tick in range(4)] == [one, [], one, []]
