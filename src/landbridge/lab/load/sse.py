"""Holds streams of server-sent events open and counts what happens to them.

Opening a stream is a request. An event `reconnect` asks to come back, which is counted as a reconnect and not as a
failure; a stream that ends otherwise, falls silent or misses an event (ids count up by one) is a failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from landbridge.clock import Clock
from landbridge.lab.load.http import BrokenAnswerError, build_request, name_error, parse_head, read_outcome
from landbridge.lab.load.resolve import Resolver
from landbridge.lab.load.tally import Outcome, Tally
from landbridge.lab.load.target import Target

SILENCE = 15.0
"""Seconds without a byte after which a stream counts as lost."""
PAUSE = 0.2
"""Seconds before a lost stream is opened again."""


class StreamHolder:
    """Holds the streams of one target."""

    def __init__(
        self, target: Target, resolver: Resolver, tally: Tally, clock: Clock, seen: Callable[[Outcome], None]
    ) -> None:
        self._target = target
        self._resolver = resolver
        self._tally = tally
        self._clock = clock
        self._seen = seen

    async def hold(self, stop: asyncio.Event) -> None:
        """Hold `rate` streams until `stop`."""
        held = [asyncio.create_task(self._hold_one()) for _ in range(max(1, round(self._target.rate)))]
        await stop.wait()
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _hold_one(self) -> None:
        while True:
            stream = await self._open()
            if not stream:
                await self._clock.sleep(PAUSE)
                continue
            try:
                await self._read_events(stream)
                self._tally.reconnects += 1
            except (OSError, EOFError, ValueError) as error:
                self._count_lost(f"stream {name_error(error)}")
                await self._clock.sleep(PAUSE)
            finally:
                stream.close()

    async def _open(self) -> Stream | None:
        """Open a stream, which is a request; None where that failed."""
        began = self._clock.monotonic()
        self._tally.begin(0.0)
        stream, outcome = await self._try_open()
        self._tally.end(outcome, self._clock.monotonic() - began)
        if not outcome.ok:
            self._seen(outcome)
        return stream

    async def _try_open(self) -> tuple[Stream | None, Outcome]:
        try:
            async with asyncio.timeout(self._target.timeout):
                host, port = await self._resolver.resolve(self._target.host, self._target.port)
                reader, writer = await asyncio.open_connection(host, port)
                stream, outcome = await self._ask(reader, writer)
        except (OSError, EOFError, ValueError, BrokenAnswerError) as error:
            return None, Outcome(kind=name_error(error), ok=False)
        if outcome.ok:
            return stream, outcome
        stream.close()
        return None, outcome

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[Stream, Outcome]:
        try:
            writer.write(build_request(self._target, 0))
            answer = parse_head(await reader.readuntil(b"\r\n\r\n"))
        except BaseException:
            writer.close()
            raise
        chunked = answer.headers.get("transfer-encoding", "").lower() == "chunked"
        return Stream(reader, writer, chunked=chunked), read_outcome(answer.status, answer.headers)

    async def _read_events(self, stream: Stream) -> None:
        """Read until the server asks to come back. Raises EOFError or OSError when the stream ends otherwise."""
        expected = 0
        kind = ""
        while True:
            async with asyncio.timeout(SILENCE):
                name, _, value = (await stream.read_line()).partition(": ")
            if name == "id" and value.isdecimal():
                if expected and int(value) != expected:
                    self._count_lost("event lost")
                expected = int(value) + 1
            elif name == "event":
                kind = value
            elif name == "data":
                self._tally.events += 1
                if kind == "reconnect":
                    return

    def _count_lost(self, kind: str) -> None:
        """A failure that is not the end of a request of its own."""
        self._tally.failed += 1
        self._tally.kinds[kind] += 1
        self._seen(Outcome(kind=kind, ok=False))


class Stream:
    """The lines of an answer's body, whether it comes in chunks or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, chunked: bool) -> None:
        self._reader = reader
        self._writer = writer
        self._chunked = chunked
        self._buffer = bytearray()

    async def read_line(self) -> str:
        """The next line. Raises EOFError at the end of the stream."""
        while (end := self._buffer.find(b"\n")) < 0:
            self._buffer += await self._read_part()
        line = self._buffer[:end].decode(errors="replace").strip()
        del self._buffer[: end + 1]
        return line

    async def _read_part(self) -> bytes:
        if not self._chunked:
            part = await self._reader.read(4096)
        else:
            size = int((await self._reader.readline()).split(b";")[0] or b"0", 16)
            part = (await self._reader.readexactly(size + 2))[:-2] if size else b""
        if not part:
            raise EOFError
        return part

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
