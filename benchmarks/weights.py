"""A million requests while the weights change ten times a second: none may fail.

A waypoint's Envoy, a gateway's Envoy behind mutual TLS and a backend on either side, on loopback; the agent's own
writer of files gives the waypoint another weight every 100 ms, 0 and 100 among them. The load is as fast as it is
answered, so both Envoys are always in the middle of requests when their weights change.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from tests.envoy.envoys import CLOCK
from tests.envoy.pair import Pair, waypoint_state

from benchmarks.clusters import HTTP, addresses, joined, served
from benchmarks.figures import Figure, Tally, together
from benchmarks.traffic import ask, bed, say
from landbridge.agent.admin import Admin
from landbridge.agent.files import Files
from landbridge.envoy.render import files

NAME = "weights"
EVERY = 0.1
LATE = 1.1
"""How much rarer than every 100 ms the changes may be on average for this to be the test it says it is."""
SEED = 20261121
PIECE = 100_000
"""Requests of one load; progress is told between them."""


@dataclass
class Changes:
    """What was written, and what Envoy made of it."""

    written: int = 0
    seconds: float = 0.0
    obeyed: int = 0
    refused: int = 0


async def measure(*, quick: bool) -> list[Figure]:
    """1,000,000 requests (100,000)."""
    wanted = PIECE if quick else 10 * PIECE
    at = addresses()
    async with served(at) as serving:
        alone = await ask(f"{at.local}:8080", PIECE // 2)
        async with joined(at) as pair:
            before = await serving.seen()
            tally, changes = await _under_change(pair, wanted)
            after = await serving.seen()
    counted = {name: after[name].requests - before[name].requests for name in after}
    return [*bed(NAME, alone), *figures(wanted, tally, counted, changes)]


def figures(wanted: int, tally: Tally, counted: dict[str, int], changes: Changes) -> Iterator[Figure]:
    """What failed, whether every request ran once, and whether the weights did change so often."""
    shares = ", ".join(f"{name} {count:,}" for name, count in counted.items())
    every = 1000 * changes.seconds / max(1, changes.written)
    rate = f"{tally.rate:,.0f} requests/s, p50 {tally.ms(0.5):.2f} ms, p99 {tally.ms(0.99):.2f} ms"
    rows: list[tuple[str, float, str, float | None, str]] = [
        ("weight changes written", changes.written, "", None, f"Envoy took {changes.obeyed:,} of them"),
        ("time from one change to the next", every, "ms", 1000 * EVERY * LATE, "mean"),
        ("changes that Envoy refused", changes.refused, "", 0, ""),
        ("requests missing", wanted - tally.requests, "", 0, f"of {wanted:,}; {rate}"),
        ("requests executed twice or never", abs(sum(counted.values()) - tally.requests), "", 0, shares),
        ("failed requests", tally.failed, "", 0, tally.failures() or f"of {tally.requests:,}"),
    ]
    for what, value, unit, limit, why in rows:
        yield Figure(benchmark=NAME, what=what, value=value, unit=unit, limit=limit, why=why)


async def _under_change(pair: Pair, wanted: int) -> tuple[Tally, Changes]:
    """The load, and beside it the changes."""
    changes = Changes()
    before = await _updates(pair)
    changing = asyncio.create_task(_change(pair, changes))
    tallies: list[Tally] = []
    began = time.monotonic()
    while sum(each.requests for each in tallies) < wanted and not changing.done():
        tallies.append(await ask(f"{pair.at.waypoint}:{HTTP}", PIECE))
        say(f"  {sum(each.requests for each in tallies):,} requests, {changes.written} changes")
    changes.seconds = time.monotonic() - began
    if changing.done():
        changing.result()
    changing.cancel()
    after = await _updates(pair)
    changes.obeyed, changes.refused = after[0] - before[0], after[1] - before[1]
    return together(tallies), changes


async def _change(pair: Pair, changes: Changes) -> None:
    """Another weight every 100 ms, written as the agent does."""
    chance = random.Random(SEED)
    admin = Admin(f"{pair.waypoint.admin[0]}:{pair.waypoint.admin[1]}")
    writer = Files(pair.waypoint.folder, admin, CLOCK)
    began, last = CLOCK.monotonic(), 0
    try:
        for number in count(1):
            last = chance.choice([0, 100, *(n for n in range(101) if n != last)])
            await writer.write(files(waypoint_state(pair.at, last), pair.waypoint.places))
            changes.written = number
            await CLOCK.sleep(began + number * EVERY - CLOCK.monotonic())
    finally:
        await admin.close()


async def _updates(pair: Pair) -> tuple[int, int]:
    """How often Envoy has taken routes, and how often it refused a file."""
    found = (await pair.waypoint.stats(r"update_success$|update_rejected$|update_failure$"))["stats"]
    values = {item["name"]: int(item["value"]) for item in found if "name" in item}
    taken = sum(value for name, value in values.items() if name.endswith("rds.routes.update_success"))
    return taken, sum(value for name, value in values.items() if not name.endswith("success"))
