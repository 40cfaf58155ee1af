"""What was confirmed of a waypoint's ports is forgotten with what they stood for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from landbridge.agent.confirm import Confirmations
from landbridge.agent.ports import Allocation
from landbridge.agent.slices import Pod
from landbridge.model.service import Protocol

PORT = 20080


@pytest.fixture
async def confirmations() -> AsyncIterator[Confirmations]:
    made = Confirmations()
    yield made
    await made.close()


def pod(uid: str = "a") -> Pod:
    return Pod(namespace="shop", name=f"waypoint-{uid}", uid=uid, addresses=("10.0.0.1",), ready=True, node="n")


def allocated(service: str, *, draining: float = 0.0) -> dict[str, Allocation]:
    item = Allocation(service=service, port=80, transport="TCP", listen=PORT, protocol=Protocol.TCP, draining=draining)
    return {item.key: item}


async def test_a_port_that_is_given_out_again_has_to_be_dialled(confirmations: Confirmations) -> None:
    """Seen in the demo: a Service adopted again refused one connection, for its listener was not there yet."""
    confirmations.inherit([pod()], {"10.0.0.1": frozenset({PORT})})
    for kept in (allocated("web"), allocated("web", draining=5.0), allocated("web")):
        confirmations.keep([pod()], kept)
        assert confirmations.has(pod(), [PORT]), "as long as it stands for the same"
    confirmations.keep([pod()], {})
    confirmations.keep([pod()], allocated("web"))
    assert not confirmations.has(pod(), [PORT])


async def test_a_port_that_goes_to_another_service_at_once_has_to_be_dialled(confirmations: Confirmations) -> None:
    confirmations.inherit([pod()], {"10.0.0.1": frozenset({PORT})})
    confirmations.keep([pod()], allocated("web"))
    confirmations.keep([pod()], allocated("cart"))
    assert not confirmations.has(pod(), [PORT])
