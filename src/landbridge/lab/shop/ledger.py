"""ledger: what everybody paid, behind a plain TCP line protocol in which the server speaks first.

    server: LEDGER ready x-served-by=eks x-served-chain=ledger@eks
    client: ADD 7 100          adds cents to a person's total
    server: OK 300             the new total
    client: GET 7              server: OK 300
    client: PING               server: OK pong
    client: QUIT               server: OK bye, and hangs up
    server: ERR 500 x-broken-copy=ledger@eks    a failure on purpose; ERR 400 and ERR 503 are others
    server: BYE                unasked, when this copy is about to go: commands already sent are still answered, then
                               the client should come back on another connection

Totals are in Redis, shared by both sides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from redis.exceptions import RedisError

from landbridge.lab.shop.wire.fault import Harm
from landbridge.lab.shop.wire.process import FINISH_SECONDS, Process, log, run
from landbridge.lab.shop.wire.server import BACKLOG
from landbridge.lab.shop.wire.trail import BROKEN, CHAIN, SERVED_BY

LINE_LIMIT = 1024


class Ledger:
    """Talks to each client that connects."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._writers: set[asyncio.StreamWriter] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self) -> Callable[[], Awaitable[None]]:
        """Listen; the result closes again."""
        settings = self._process.settings
        server = await asyncio.start_server(self._talk, settings.host, settings.port, limit=LINE_LIMIT, backlog=BACKLOG)
        log.info("%s listens on port %d", self._process.place, server.sockets[0].getsockname()[1])

        async def close() -> None:
            server.close()
            for writer in self._writers:
                writer.write(b"BYE\r\n")
            try:
                await asyncio.wait_for(self._empty.wait(), FINISH_SECONDS)
            except TimeoutError:
                log.warning("%d clients cut that did not go in %g s", len(self._writers), FINISH_SECONDS)
            for writer in list(self._writers):
                writer.transport.abort()

        return close

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._empty.clear()
        place = self._process.place
        writer.write(f"LEDGER ready {SERVED_BY}={place.cluster} {CHAIN}={place}\r\n".encode())
        try:
            while line := await reader.readline():
                reply = await self._reply(line.decode("utf-8", "replace").split())
                if reply is None:
                    writer.transport.abort()
                    break
                writer.write(f"{reply}\r\n".encode())
                if reply == "OK bye":
                    break
                await writer.drain()
        except (OSError, ValueError):  # hung up, or sent a line beyond the limit
            writer.transport.abort()
        finally:
            writer.close()
            self._writers.discard(writer)
            if not self._writers:
                self._empty.set()

    async def _reply(self, words: list[str]) -> str | None:
        """One answer, or None to cut the connection."""
        harm = await self._process.harm()
        if harm is Harm.RESET:
            return None
        if harm is not Harm.NONE:
            return f"ERR {500 if harm is Harm.FAIL else 504} {BROKEN}={self._process.place}"
        try:
            return await self._execute(words)
        except (RedisError, OSError) as error:
            return f"ERR 503 {type(error).__name__}"

    async def _execute(self, words: list[str]) -> str:
        match words:
            case ["ADD", person, cents] if person.isdecimal() and cents.isdecimal():
                return f"OK {await self._process.redis.hincrby('ledger', person, int(cents))}"
            case ["GET", person] if person.isdecimal():
                return f"OK {int(await self._process.redis.hget('ledger', person) or 0)}"
            case ["PING"]:
                return "OK pong"
            case ["QUIT"]:
                return "OK bye"
            case _:
                return "ERR 400 commands are ADD person cents, GET person, PING, QUIT"


async def main(process: Process) -> None:
    """Run until told to end."""
    await process.live(Ledger(process).start)


if __name__ == "__main__":
    run("ledger", 7000, main)
