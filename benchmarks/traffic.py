"""The benchmarks' traffic: a small Go program that answers and asks, for a Python one would measure itself."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Tally
from landbridge.errors import LandbridgeError
from landbridge.lab.host import golang

SOURCE = Path(__file__).parent / "go"
PIPE = asyncio.subprocess.PIPE


def say(line: str) -> None:
    """Progress goes to stderr, figures to stdout."""
    os.write(2, f"{line}\n".encode())


async def build() -> Path:
    """The program, built with `go` when it is not in the cache; needs nothing but Go's own library."""
    return await golang.build(SOURCE, "./traffic", place="bench", name="traffic", say=say)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one backend has seen: how many requests, and when the last one came (seconds, monotonic).

    `crossed` are the requests by how many clusters their hop header names: none, one, more.
    """

    requests: int
    last: float
    crossed: tuple[int, ...]


class Backends:
    """Servers that answer at once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def seen(self) -> dict[str, Seen]:
        """Counts by name."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        answer = await _line(self._process)
        return {
            name: Seen(each["requests"], each["last"] / 1e9, tuple(each["crossed"])) for name, each in answer.items()
        }


@asynccontextmanager
async def backends(addresses: Mapping[str, str], hops: str = "") -> AsyncIterator[Backends]:
    """A server for each name and `host:port`, for the time of a block; `hops` is the header whose names it counts."""
    arguments = [f"{name}={address}" for name, address in addresses.items()]
    async with _running("serve", "-hops", hops, *arguments) as process:
        await _line(process)
        yield Backends(process)


@dataclass
class Load:
    """A load that was begun; its `tally` is there after the block."""

    tally: Tally


@asynccontextmanager
async def loading(to: str, *, rate: float, connections: int = 32) -> AsyncIterator[Load]:
    """Requests at their moments (open loop) until the block ends."""
    arguments = ["-to", to, "-rate", str(rate), "-connections", str(connections)]
    async with _running("load", *arguments) as process:
        load = Load(Tally(outcomes={}, micros={}, seconds=0.0))
        yield load
        assert process.stdin
        process.stdin.close()
        load.tally = _tallies(await _line(process))[0]


async def ask(to: str, requests: int, *, rate: float = 0, connections: int = 32) -> Tally:
    """So many requests, at a rate or as fast as they are answered."""
    arguments = ["-to", to, "-rate", str(rate), "-connections", str(connections), "-requests", str(requests)]
    async with _running("load", *arguments) as process:
        return _tallies(await _line(process))[0]


async def ask_in_turns(to: Sequence[str], requests: int, *, rate: float, turn: int, warm: float) -> list[Tally]:
    """So many requests in all to several, `turn` of them to each before the next; not counted for `warm` seconds."""
    arguments = ["-to", ",".join(to), "-rate", str(rate), "-requests", str(requests), "-slice", str(turn)]
    async with _running("load", *arguments, "-warm", f"{warm}s") as process:
        return _tallies(await _line(process))


def bed(benchmark: str, tally: Tally) -> list[Figure]:
    """The test bed alone: what the load sees without anything of ours in between."""
    seen = f"{tally.rate:,.0f} requests/s, p50 {tally.ms(0.5):.2f} ms, p99 {tally.ms(0.99):.2f} ms"
    why = f"of {tally.requests:,} straight to the backend; {seen}"
    return [Figure(benchmark=benchmark, what="test bed alone: failed requests", value=tally.failed, limit=0, why=why)]


@asynccontextmanager
async def _running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program for the time of a block; it ends with its standard input, also when we are killed."""
    program = await build()
    process = await asyncio.create_subprocess_exec(program, *arguments, stdin=PIPE, stdout=PIPE, limit=16 << 20)
    assert process.stdin
    try:
        yield process
    finally:
        process.stdin.close()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> Any:
    assert process.stdout
    line = await process.stdout.readline()
    if not line:
        raise LandbridgeError("the traffic program ended", advice="see what it said above")
    return json.loads(line)


def _tallies(documents: Sequence[Mapping[str, Any]]) -> list[Tally]:
    return [
        Tally(
            outcomes=document["outcomes"],
            micros={float(us): count for us, count in document["us"].items()},
            seconds=document["seconds"],
        )
        for document in documents
    ]
