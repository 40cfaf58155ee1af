"""1,000 flips there and back of one service, under 500 requests/s from both sides: nothing fails, nothing loops.

Two clusters, all real (sides.py); a flip writes weight 100 and then 0 with the two-sided switch, waits each time until
both waypoints' Envoys obey, and then until callers of both sides have reached the side that gained. Each gateway
appends its cluster's name to a header of what comes in, and the pods count the names: two would be a loop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from tests.agent.bed import CLOCK
from tests.envoy.pair import once

from benchmarks.figures import Figure, Tally, quantile, together
from benchmarks.rollback import local_addresses
from benchmarks.sides import EKS, HOPS, LEGACY, OTHER, Sides, pods, sides
from benchmarks.traffic import ask, backends, bed, loading, say
from landbridge.clock import DeadlineError, wait_for

NAME = "flips"
RATE = 500.0
"""Requests a second of each side's callers."""
SLACK = 0.01
"""The share of its requests that the load may have sent too late to count for the rate."""
CONTROLS = 4
GAINS = {100: EKS, 0: LEGACY}
"""The side to which everything goes at a weight."""
Crossed = Mapping[str, tuple[int, ...]]
"""By the cluster that answered: requests that had crossed never, once, more often."""


@dataclass
class Run:
    """What was done, and what the pods have counted of it."""

    flips: int = 0
    seconds: float = 0.0
    obeyed: list[float] = field(default_factory=list)
    """Seconds of each write until both Envoys obeyed."""
    crossed: Crossed = field(default_factory=dict)
    controls: int = 0


async def measure(*, quick: bool) -> list[Figure]:
    """1,000 flips there and back (100)."""
    wanted, run = 100 if quick else 1000, Run()
    async with AsyncExitStack() as stack:
        prefix = stack.enter_context(local_addresses())
        alone = await _alone(pods(prefix)[LEGACY])
        made = await stack.enter_async_context(sides(prefix))
        run.controls = await _controls(made, pods(prefix)[LEGACY])
        before = await _crossed(made)
        async with AsyncExitStack() as load:
            loads = [await load.enter_async_context(loading(made.waypoints[one], rate=RATE)) for one in OTHER]
            await _flip(made, run, wanted)
        after = await _crossed(made)
    run.crossed = {one: tuple(b - a for a, b in zip(before[one], after[one], strict=True)) for one in OTHER}
    return [*bed(NAME, alone), *figures(wanted, run, [each.tally for each in loads])]


def figures(wanted: int, run: Run, tallies: list[Tally]) -> Iterator[Figure]:
    """What failed, crossed twice or ran twice, and whether the flips, the load and the count were what they say."""
    load, counted = together(tallies), sum(sum(each) for each in run.crossed.values())
    loops = sum(each[2] for each in run.crossed.values())
    idle = sum(not count for each in run.crossed.values() for count in each[:2])
    short = RATE - min(each.rate for each in tallies)
    switches = f"{len(run.obeyed):,} switches, each obeyed by both Envoys and then seen to carry both sides' callers"
    rows: list[tuple[str, float, str, float | None, str]] = [
        ("failed requests", load.failed, "", 0, load.failures() or f"of {load.requests:,}"),
        ("requests that crossed more than once", loops, "", 0, f"of {counted:,} that the pods counted"),
        ("controls not counted as crossing twice", CONTROLS - run.controls, "", 0, "2 across, 2 straight to a pod"),
        ("requests missing or executed twice", abs(counted - load.requests), "", 0, f"of {load.requests:,} sent"),
        ("missing flips", wanted - run.flips, "", 0, f"of {wanted:,} there and back; {switches}"),
        ("sides that never served their own, or never across", idle, "", 0, "both sides, both ways"),
        (f"requests/s short of {RATE:g} from a side", max(0.0, short), "", SLACK * RATE, f"{load.requests:,} in all"),
        ("flips a second", run.flips / run.seconds, "/s", None, "there and back"),
        ("p50 of write to both Envoys obeying", 1000 * quantile(run.obeyed, 0.5), "ms", None, ""),
        ("p99 of write to both Envoys obeying", 1000 * quantile(run.obeyed, 0.99), "ms", None, ""),
        ("p50 of requests", load.ms(0.5), "ms", None, ""),
        ("p99 of requests", load.ms(0.99), "ms", None, ""),
        *((f"{one} answered its own", each[0], "", None, "") for one, each in run.crossed.items()),
        *((f"{one} answered from across", each[1], "", None, "") for one, each in run.crossed.items()),
    ]
    for what, value, unit, limit, why in rows:
        yield Figure(benchmark=NAME, what=what, value=value, unit=unit, limit=limit, why=why)


async def _alone(address: str) -> Tally:
    """The load straight to a pod."""
    async with backends({LEGACY: address}):
        return await ask(address, int(10 * RATE), rate=2 * RATE)


async def _flip(made: Sides, run: Run, wanted: int) -> None:
    """There and back until it is enough, or until a flip did not happen."""
    began = time.monotonic()
    try:
        while run.flips < wanted:
            for percent in GAINS:
                await _turn(made, run, percent)
            run.flips += 1
            if run.flips % (wanted // 10) == 0:
                say(f"  {run.flips} flips there and back")
    except DeadlineError as error:
        say(f"  flip {run.flips + 1}: {error}")
    run.seconds = time.monotonic() - began


async def _turn(made: Sides, run: Run, percent: int) -> None:
    """One way, until callers of both sides have come to the side that gained."""
    written = time.monotonic()
    await made.turn(percent)
    run.obeyed.append(time.monotonic() - written)
    side = GAINS[percent]
    before = (await _crossed(made))[side]

    async def carries() -> bool:
        now = (await _crossed(made))[side]
        return now[0] > before[0] and now[1] > before[1]

    await wait_for(carries, what=f"callers of both sides in {side}", within=10, clock=CLOCK, every=0.005)


async def _controls(made: Sides, pod: str) -> int:
    """How many of four requests that name two clusters the pods count as such, or the proof would prove nothing.

    Two name one already when they go across, each way once; two are sent straight to a pod, with two lines and commas.
    """
    before = sum(each[2] for each in (await _crossed(made)).values())
    for percent, side in GAINS.items():
        await made.turn(percent)
        await once(_place(made.waypoints[OTHER[side]]), headers=[f"{HOPS}: {side}"])
    await once(_place(pod), headers=[f"{HOPS}: {EKS}", f"{HOPS.title()}: {LEGACY}"])
    await once(_place(pod), headers=[f"{HOPS}: {EKS}, {LEGACY}"])
    return sum(each[2] for each in (await _crossed(made)).values()) - before


async def _crossed(made: Sides) -> Crossed:
    return {cluster: seen.crossed for cluster, seen in (await made.backends.seen()).items()}


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
