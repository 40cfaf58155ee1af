"""What a request pays for going across: our waypoint and gateway against two Envoys configured by hand.

Both pairs run at the same time with the same certificates, workers and backend, and are asked in turns of 0.2 s at the
same fixed rate, open loop, over kept connections: whatever else the machine does meets both alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.by_hand import by_hand
from benchmarks.clusters import HTTP, addresses, joined, served
from benchmarks.figures import Figure, Tally, together
from benchmarks.traffic import ask_in_turns, bed, say

NAME = "gateway"
BOUND = 1.1
RATE = 500
TURN = 100
"""Requests of a turn."""
WARM = 2.4
"""Seconds that are not counted: connections are opened there. Whole rounds of turns, as `PART` is."""
PART = 5
"""Seconds that each is asked in one part of the run; how far parts differ says how far the figure can be trusted."""
PARTS, TRIES = 8, 12
QUIET_MS = 3.0
"""A part counts when the test bed alone has a p99 below this: about twice that of an idle machine of 2 cores. Beyond,
the tails are those of the machine's other work. What ours and theirs took has no say in it."""
ALONE, OURS, THEIRS = "test bed", "ours", "by hand"
Part = Mapping[str, Tally]


async def measure(*, quick: bool) -> list[Figure]:
    """Each is asked for 40 s (10 s) in parts; those in which the machine was busy with something else do not count."""
    at = addresses()
    wanted, parts = 2 if quick else PARTS, list[Part]()
    async with served(at), joined(at) as pair, by_hand(at, pair.tls, pair.tls / "here", pair.tls / "there") as edge:
        # the turns go through them forwards and then backwards: so ours and theirs have the same neighbours, and the
        # first request after a pause, which is the slowest of a turn, is as cold for either
        targets = {OURS: f"{at.waypoint}:{HTTP}", ALONE: f"{at.remote}:8080", THEIRS: edge}
        while len(quiet(parts)) < wanted and len(parts) < wanted * TRIES / PARTS:
            parts.append(await _part(targets, len(parts)))
    return [*bed(NAME, together([part[ALONE] for part in parts])), *figures(parts, wanted)]


def quiet(parts: Sequence[Part]) -> list[Part]:
    """Those that the machine did not disturb."""
    return [part for part in parts if part[ALONE].ms(0.99) < QUIET_MS]


async def _part(targets: Mapping[str, str], number: int) -> Part:
    requests = int(RATE * (len(targets) * PART + WARM))
    tallies = await ask_in_turns(list(targets.values()), requests, rate=RATE, turn=TURN, warm=WARM)
    say(f"  {(number + 1) * PART} s of each")
    return dict(zip(targets, tallies, strict=True))


def figures(parts: Sequence[Part], wanted: int) -> list[Figure]:
    """Both paths over the quiet parts, or over all when too few were quiet, and ours against theirs."""
    found: list[Figure] = []
    tried, calm = len(parts), quiet(parts)
    parts = calm if len(calm) >= wanted else parts
    state = f"{len(calm)} of {tried} parts quiet" + ("" if parts is calm else ", MACHINE BUSY: not to be relied on")
    whole = {name: together([part[name] for part in parts]) for name in (ALONE, OURS, THEIRS)}
    for name in (OURS, THEIRS):
        tally = whole[name]
        why = tally.failures() or f"of {tally.requests:,} at {RATE:g}/s"
        found.append(Figure(benchmark=NAME, what=f"{name}: failed requests", value=tally.failed, limit=0, why=why))
    for name, tally in whole.items():
        for share in (0.5, 0.99):
            what = f"{name}: p{100 * share:g}"
            found.append(Figure(benchmark=NAME, what=what, value=tally.ms(share), unit="ms"))
    each = ", ".join(f"{part[OURS].ms(0.99) / part[THEIRS].ms(0.99):.2f}" for part in parts)
    ours, theirs = whole[OURS].ms(0.99), whole[THEIRS].ms(0.99)
    why = f"{ours:.2f} / {theirs:.2f} ms; {state}; by part {each}"
    return [*found, Figure(benchmark=NAME, what="p99 of ours to theirs", value=ours / theirs, limit=BOUND, why=why)]
