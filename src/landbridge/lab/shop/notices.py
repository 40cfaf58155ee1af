"""notices: news for people who keep the page open, as server-sent events over streams held for minutes.

Each event has an `id` that counts up from 1 within its stream, so a reader sees a lost one, and says who serves it:
`{"n": 12, "served_by": "eks", "latest": {"order": 7, "for": "Ada"}, "orders": 7}`. When the copy is about to go it
sends the event `reconnect` and ends the stream, and so it does with a stream that is as old as streams may get; any
other end is a cut.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from redis.exceptions import RedisError

from landbridge.lab.shop.orders import LATEST
from landbridge.lab.shop.wire.database import Database
from landbridge.lab.shop.wire.process import Process, Routes, log, run_http
from landbridge.lab.shop.wire.server import Request, Response
from landbridge.lab.shop.wire.trail import CallError, Trail

EVERY = 1.0
LONGEST = 90.0
"""Seconds that a stream lasts at most: a reader that never came back would stay with an old copy for ever."""


class News:
    """The newest order by Redis and their number by PostgreSQL, read once a second for all streams."""

    def __init__(self, process: Process, database: Database) -> None:
        self._process = process
        self._database = database
        self._latest: Any = None
        self._orders = 0

    async def run(self) -> None:
        """Read for ever; what cannot be read stays as it was."""
        while True:
            try:
                self._latest = json.loads(await self._process.redis.get(LATEST) or "null")
                ((self._orders,),) = await self._database.run("SELECT coalesce(max(id), 0) FROM orders")
            except (RedisError, CallError, OSError) as error:
                log.warning("no news: %s", error)
            await self._process.clock.sleep(EVERY)

    def now(self) -> dict[str, Any]:
        """What is known."""
        return {"served_by": self._process.place.cluster, "latest": self._latest, "orders": self._orders}

    async def stream(self, every: float) -> AsyncGenerator[bytes, None]:
        """Events every so many seconds until the reader goes or this copy does."""
        number, end = 0, self._process.clock.monotonic() + LONGEST
        while not self._process.closing.is_set() and self._process.clock.monotonic() < end:
            number += 1
            yield _event(number, "notice", {"n": number, **self.now()})
            try:
                await asyncio.wait_for(self._process.closing.wait(), every)
            except TimeoutError:
                continue
        yield _event(number + 1, "reconnect", {"served_by": self._process.place.cluster})


def _event(number: int, kind: str, data: dict[str, Any]) -> bytes:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


async def routes(process: Process) -> Routes:
    """`GET /stream[?every=0.5]` is the stream, `GET /latest` what it would say now."""
    news = News(process, await process.database())
    reading = asyncio.create_task(news.run())

    async def stop() -> None:
        reading.cancel()

    process.close_later(stop)

    async def stream(request: Request, trail: Trail) -> Response:  # noqa: ARG001
        every = max(0.05, float(request.query.get("every", EVERY)))
        headers = {"content-type": "text/event-stream", "cache-control": "no-store"}
        return Response(stream=news.stream(every), headers=headers)

    async def latest(request: Request, trail: Trail) -> Response:  # noqa: ARG001
        return Response(body=json.dumps(news.now()).encode())

    return {"GET /stream": stream, "GET /latest": latest}


if __name__ == "__main__":
    run_http("notices", routes)
