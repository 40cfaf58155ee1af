"""A list that several wait for is asked for once, and never was read before it was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from landbridge.clients.answers import UnavailableError
from landbridge.clients.kinds import POD, SERVICE
from landbridge.clients.together import CROWD, EACH, LONGEST, Together
from tests.fakes import FakeClock


class Server:
    """Counts questions; an answer is what was true when the question came."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.takes = 0.0
        self.truth = 0
        self.asked: list[str] = []
        self.came = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False

    async def list(self, kind: Any, namespace: str, *, labels: str = "") -> list[dict[str, Any]]:
        self.clock.at += self.takes
        self.asked.append(f"{namespace}/{kind.plural}{labels}")
        self.came.set()
        seen = self.truth
        await self.gate.wait()
        if self.broken:
            raise UnavailableError("away")
        return [{"seen": seen}]


async def test_many_who_ask_are_answered_by_one_question() -> None:
    server = Server()
    together = Together(server.list, FakeClock())
    answers = await asyncio.gather(*(together.list(POD, "shop") for _ in range(40)))
    assert answers == [[{"seen": 0}]] * 40
    assert server.asked == ["shop/pods"]
    await asyncio.gather(
        together.list(POD, "other"), together.list(SERVICE, "shop"), together.list(POD, "shop", labels="a")
    )
    assert len(server.asked) == 4


async def test_who_asks_while_an_answer_is_on_its_way_gets_a_newer_one() -> None:
    server = Server()
    server.gate.clear()
    together = Together(server.list, FakeClock())
    early = asyncio.create_task(together.list(POD, "shop"))
    await server.came.wait()
    server.truth = 1
    late = [asyncio.create_task(together.list(POD, "shop")) for _ in range(3)]
    asyncio.get_running_loop().call_soon(server.gate.set)  # after those have asked
    assert await early == [{"seen": 0}]
    assert await asyncio.gather(*late) == [[{"seen": 1}]] * 3
    assert len(server.asked) == 2


async def test_who_asks_alone_is_kept_waiting_only_by_what_takes_long() -> None:
    server = Server()
    together = Together(server.list, server.clock)
    waited = []
    for server.takes in (0.001, 0.01, 5.0, 0.0):
        began = server.clock.at
        await together.list(POD, "shop")
        waited.append(round(server.clock.at - began - server.takes, 6))
    assert waited == [0.0, 0.003, 0.03, LONGEST]


async def test_a_crowd_waits_longer_than_a_few() -> None:
    server = Server()
    together = Together(server.list, server.clock)
    waited = []
    for crowd in (2, 11, 400):
        await asyncio.gather(*(together.list(POD, "shop") for _ in range(crowd)))
        began = server.clock.at
        await together.list(POD, "shop")
        waited.append(round(server.clock.at - began, 6))
    assert waited == [EACH, 10 * EACH, CROWD]


async def test_an_error_is_everybodys_and_the_next_who_asks_tries_again() -> None:
    server = Server()
    server.broken = True
    together = Together(server.list, FakeClock())
    answers = await asyncio.gather(*(together.list(POD, "shop") for _ in range(2)), return_exceptions=True)
    assert all(isinstance(answer, UnavailableError) for answer in answers)
    server.broken = False
    assert await together.list(POD, "shop") == [{"seen": 0}]


async def test_closing_ends_what_is_going_on() -> None:
    server = Server()
    server.gate.clear()
    together = Together(server.list, FakeClock())
    waiting = asyncio.create_task(together.list(POD, "shop"))
    await server.came.wait()
    await together.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
