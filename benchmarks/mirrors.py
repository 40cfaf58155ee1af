"""The leading agent mirrors 409 and 5,000 Services between two real API servers: how long, how visible, how quiet.

Beside it stand Linkerd's own figures for 409 (reference run on two real clusters; its rate derived from its constants).
Waypoints and the far gateway are stand-ins that answer at once, for what is measured is the agent; needs root.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import Figure, quantile
from benchmarks.leader import CLOCK, EXPORT, Places, Seen, clusters, export, joined, many, quiet, watched, writes
from benchmarks.traffic import say
from landbridge.agent import names
from landbridge.clients.kinds import ENDPOINTSLICE, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import LandbridgeError

NAME = "mirrors"
LINKERD = "Linkerd 2.20, once, 2 cores, other work on the machine; in between from 401 back to 149"
DERIVED = "Linkerd: 5 API calls a second, 3 a Service"


async def measure(*, quick: bool) -> list[Figure]:
    """409 in one namespace and 5,000 in 50 (60 and 300)."""
    if os.geteuid() != 0:
        raise LandbridgeError("addresses for waypoints need root", where=NAME)
    few, many, spaces = (60, 300, 5) if quick else (409, 5_000, 50)
    found = [
        Figure(benchmark=NAME, what="Linkerd: first sync of 409", value=684.0, unit="s", why=LINKERD),
        Figure(benchmark=NAME, what="Linkerd: first sync of 409, derived", value=245.0, unit="s", why=DERIVED),
    ]
    found += await _run(few, 1, limit=10.0, twice=True, quick=quick)
    found += await _run(many, spaces, limit=90.0, twice=False, quick=quick)
    return found


async def _run(count: int, spaces: int, *, limit: float, twice: bool, quick: bool) -> list[Figure]:
    async with clusters() as (legacy, eks, api), joined(legacy, eks, spaces) as bed, watched(legacy) as seen:
        places = [(f"team-{n % spaces:02d}", f"svc-{n:04d}") for n in range(count)]
        await export(eks, places)
        say(f"  {count:,} Services are exported")
        began = time.perf_counter()
        agent = await bed.start()
        again = asyncio.create_task(_write_again(eks, places)) if twice else None
        first = await seen.until(lambda: seen.mirrors == count and seen.ready == count, 600) - began
        cpu = _cpu(agent.pid)
        if again:
            await again
        say(f"  {count:,} mirrors after {first:.1f} s")
        figures = [
            Figure(benchmark=NAME, what=f"{count:,} mirrors: first sync", value=first, unit="s", limit=limit),
            Figure(
                benchmark=NAME,
                what=f"{count:,} mirrors: most that were taken back meanwhile",
                value=seen.lost,
                limit=0,
                why="every Service was written again meanwhile" if twice else "",
            ),
        ]
        why = "the agent alone, its start included"
        what = f"{count:,} mirrors: processor time until then"
        figures.append(Figure(benchmark=NAME, what=what, value=cpu, unit="s", why=why))
        figures.append(await _changes(eks, seen, places, 40 if quick else 200))
        await quiet(api, 5)
        minute = 10.0 if quick else 60.0
        before = writes(api)
        await CLOCK.sleep(minute)
        what = f"{count:,} mirrors: writes in {minute:g} s without a change"
        why = "but for the leader's Lease"
        figures.append(Figure(benchmark=NAME, what=what, value=writes(api) - before, limit=0, why=why))
        rss = _rss(agent.pid)
        figures.append(
            Figure(benchmark=NAME, what=f"{count:,} mirrors: memory of the agent", value=rss, unit="MB", limit=150)
        )
        if twice:
            bed.door.swallow()
            began = time.perf_counter()
            dead = await seen.until(lambda: seen.ready == 0, 60) - began
            what = f"{count:,} mirrors: gateway swallows packets to none ready"
            figures.append(Figure(benchmark=NAME, what=what, value=dead, unit="s", limit=10.0))
        return figures


async def _write_again(k8s: Kubernetes, places: Places) -> None:
    """So that the agent hears of every Service twice."""
    note = {"metadata": {"annotations": {"seen": "twice"}}}
    await many(k8s.patch(SERVICE, name, note, space) for space, name in places)


async def _changes(k8s: Kubernetes, seen: Seen, places: Places, count: int) -> Figure:
    """From the answer to a write there to what a bystander sees here: a label, an un-export, an empty leaf."""
    times: list[float] = []
    for turn in range(count):
        space, name = places[turn * 37 % len(places)]
        key = (space, f"{name}-eks")
        match turn % 3:
            case 0:
                await k8s.patch(SERVICE, name, {"metadata": {"labels": {"turn": str(turn)}}}, space)
                done = _label_is(seen, key, str(turn))
            case 1:
                await k8s.patch(SERVICE, name, {"metadata": {"labels": {names.EXPORTED: None}}}, space)
                done = _is_gone(seen, key)
            case _:
                entry = {"addresses": ["10.92.0.9"], "conditions": {"ready": False}}
                await k8s.patch(ENDPOINTSLICE, f"{name}-abcde", {"endpoints": [entry]}, space)
                done = _is_unready(seen, key)
        began = time.perf_counter()
        times.append(await seen.until(done, 60) - began)
        await k8s.patch(SERVICE, name, {"metadata": {"labels": EXPORT}}, space)
        entry = {"addresses": ["10.92.0.9"], "conditions": {"ready": True}}
        await k8s.patch(ENDPOINTSLICE, f"{name}-abcde", {"endpoints": [entry]}, space)
    return Figure(
        benchmark=NAME,
        what=f"{len(places):,} mirrors: a change is visible, p99",
        value=quantile(times, 0.99),
        unit="s",
        limit=1.0,
        why=f"p50 {quantile(times, 0.5):.3f} s of {count}",
    )


def _label_is(seen: Seen, key: tuple[str, str], value: str) -> Callable[[], bool]:
    return lambda: (seen.services.items.get(key) or {"metadata": {}})["metadata"].get("turn") == value


def _is_gone(seen: Seen, key: tuple[str, str]) -> Callable[[], bool]:
    return lambda: key not in seen.services.items


def _is_unready(seen: Seen, key: tuple[str, str]) -> Callable[[], bool]:
    name = (key[0], names.slice_name(key[1], "IPv4"))
    return lambda: not all(e["conditions"]["ready"] for e in (seen.slices.items.get(name) or {}).get("endpoints", ()))


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")
