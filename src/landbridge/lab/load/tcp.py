"""Calls a line protocol in which the server speaks first: a banner, then an answer for each command."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from landbridge.clock import Clock
from landbridge.lab.load.http import name_error
from landbridge.lab.load.resolve import Resolver
from landbridge.lab.load.tally import Outcome
from landbridge.lab.load.target import Target


@dataclass(slots=True, eq=False)
class Line:
    """One connection, and what its banner said."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    born: float
    said: dict[str, str]

    @property
    def is_over(self) -> bool:
        """Whether the server has hung up, or said BYE, while nothing was asked."""
        # what StreamReader has read ahead is not public; a server that speaks unasked only ever says BYE
        waiting = getattr(self.reader, "_buffer", b"")
        return self.reader.at_eof() or bool(waiting) or self.writer.is_closing()


class TcpCaller:
    """Sends the commands of one target; a connection is not used again after BYE, which is no failure."""

    def __init__(self, target: Target, resolver: Resolver, clock: Clock) -> None:
        self._target = target
        self._resolver = resolver
        self._clock = clock
        self._idle: deque[Line] = deque()

    async def send(self, number: int) -> Outcome:
        """Send command number `number`."""
        line: Line | None = None
        try:
            async with asyncio.timeout(self._target.timeout):
                line = self._take() or await self._connect()
                line.writer.write(self._target.path.replace("{n}", str(number)).encode() + b"\r\n")
                outcome = await _read_outcome(line)
            if not self._target.fresh:
                self._idle.append(line)
        except (OSError, EOFError) as error:  # TimeoutError is an OSError
            return Outcome(kind=name_error(error), ok=False, side=line.said.get("x-served-by", "") if line else "")
        finally:
            if line is not None and line not in self._idle:
                line.writer.close()
        return outcome

    def _take(self) -> Line | None:
        while self._idle:
            line = self._idle.pop()
            young = not self._target.max_age or self._clock.monotonic() - line.born < self._target.max_age
            if young and not line.is_over:
                return line
            line.writer.close()
        return None

    async def _connect(self) -> Line:
        host, port = await self._resolver.resolve(self._target.host, self._target.port)
        reader, writer = await asyncio.open_connection(host, port)
        try:
            banner = await _read_line(reader)
        except BaseException:
            writer.close()
            raise
        return Line(reader, writer, self._clock.monotonic(), read_words(banner))

    async def close(self) -> None:
        """Hang up all that is kept."""
        while self._idle:
            self._idle.pop().writer.close()


async def _read_line(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line.decode(errors="replace").strip()


async def _read_outcome(line: Line) -> Outcome:
    """The answer to a command; a BYE that was under way comes before it."""
    answer = await _read_line(line.reader)
    if answer == "BYE":
        answer = await _read_line(line.reader)
        line.writer.close()
    status, _, rest = answer.partition(" ")
    side, chain = (line.said.get(name, "") for name in ("x-served-by", "x-served-chain"))
    if status == "OK":
        return Outcome(kind="OK", ok=True, side=side, chain=chain)
    broken = read_words(rest).get("x-broken-copy", "")
    kind = f"{status} {rest[:3]}" if status == "ERR" else "garbled"
    return Outcome(kind=kind, ok=False, side=side, broken=broken, chain=chain)


def read_words(text: str) -> dict[str, str]:
    """The words of the form name=value in a line."""
    pairs = (word.partition("=") for word in text.split())
    return {name: value for name, separator, value in pairs if separator}
