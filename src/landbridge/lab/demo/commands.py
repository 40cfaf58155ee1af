"""`landbridge demo k8s`: brings the lab up, performs, prints what happened, and takes everything away."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import cyclopts
from rich.console import Console

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock
from landbridge.errors import DocumentError, Exit
from landbridge.lab import lab as labs
from landbridge.lab.demo.k8s import Demo
from landbridge.lab.demo.setting import fresh_folder
from landbridge.lab.demo.tradeshift import RATE, Tradeshift
from landbridge.lab.landscape.services import COUNT

app = cyclopts.App(name="demo", help="Whole migrations on real clusters on this machine, with faults on purpose.")
console = Console(highlight=False, soft_wrap=True)


@app.command
def k8s(*, out: Path = Path(), index: int | None = None, rate: float = 210.0, keep: bool = False) -> int:
    """A self-hosted Kubernetes moves to another cluster: broken copy, kill -9, all home and across again. Needs root.

    Example: `landbridge demo k8s`

    Parameters
    ----------
    out:
        Where demo.json, report.html and the migration's folder `demo` go.
    index:
        Number of the lab, where several run on one machine.
    rate:
        Requests a second from the callers of both clusters together, three in ten of them in the new one.
    keep:
        Leave the lab up afterwards, to look around.
    """
    return asyncio.run(_perform(out, index, rate, keep=keep))


@app.command
def tradeshift(
    *,
    out: Path = Path(),
    index: int | None = None,
    services: int = COUNT + 9,
    rate: float = RATE,
    keep: bool = False,
) -> int:
    """Tradeshift's migration at their size: 409 services move to a cluster with 51, 25 of them back and forth.

    Needs root. Takes 12 to 15 minutes on two cores.

    Example: `landbridge demo tradeshift`

    Parameters
    ----------
    out:
        Where demo.json, report.html and the migration's folder `tradeshift` go.
    index:
        Number of the lab, where several run on one machine.
    services:
        How many move, 10 to 409; nine of them are the shop.
    rate:
        Requests a second to the quiet ones together: seven in eight from the old cluster, and from the new one when
        all have moved.
    keep:
        Leave the lab up afterwards, to look around.
    """
    if not 1 <= services - 9 <= COUNT:
        raise DocumentError(f"{services} services cannot move here", advice=f"say 10 to {COUNT + 9}")
    if rate <= 0:
        raise DocumentError("the rate is above 0")
    return asyncio.run(_perform_many(out, index, services - 9, rate, keep=keep))


async def _perform_many(out: Path, index: int | None, count: int, rate: float, *, keep: bool) -> int:
    clock = SystemClock()
    began = clock.monotonic()
    folder = fresh_folder((out / "tradeshift").resolve())
    lab = await labs.start_lab(databases=True, index=index, say=_say, clock=clock)
    up = round(clock.monotonic() - began, 1)
    old, new = lab.clusters
    try:
        async with (
            Kubernetes.connect(old.kubeconfig, name=old.name) as legacy,
            Kubernetes.connect(new.kubeconfig, name=new.name) as eks,
        ):
            demo = Tradeshift(lab, legacy, eks, folder, _say, clock, count, rate)
            result = await demo.play()
    finally:
        if not keep:
            await labs.stop_lab(lab.state.index)
    result["seconds_by_phase"] = {"lab up": up, **result["seconds_by_phase"]}
    result["seconds"] = round(clock.monotonic() - began, 1)
    shutil.copy(folder / "report.html", out / "report.html")
    (out / "demo.json").write_text(json.dumps(result, indent=1) + "\n")
    for name in ("requests", "failed", "moved", "flips", "mirrors", "seconds_by_phase", "seconds"):
        _say(f"{name:24s}{result[name]}")
    _say("demo.json and report.html are written")
    return Exit.ERROR if result["failed"] else Exit.DONE


async def _perform(out: Path, index: int | None, rate: float, *, keep: bool) -> int:
    clock = SystemClock()
    began = clock.monotonic()
    folder = fresh_folder((out / "demo").resolve())
    lab = await labs.start_lab(databases=True, index=index, say=_say, clock=clock)
    try:
        result = await Demo(lab=lab, folder=folder, say=_say, clock=clock, rate=rate).play()
    finally:
        if not keep:
            await labs.stop_lab(lab.state.index)
    result["seconds"] = round(clock.monotonic() - began, 1)
    shutil.copy(folder / "report.html", out / "report.html")
    (out / "demo.json").write_text(json.dumps(result, indent=1) + "\n")
    return _verdict(result)


def _verdict(result: dict[str, object]) -> int:
    for name in ("requests", "failed", "failed_by_broken_copy", "b_star", "rolled_back", "resumed", "seconds"):
        _say(f"{name:24s}{result[name]}")
    for service, cluster in dict(result["services"]).items():  # type: ignore[call-overload]
        _say(f"{service:24s}{cluster}")
    _say("demo.json and report.html are written")
    if result["failed"]:
        _say(f"[red]{result['failed']} requests failed that no broken copy answered; see failures in demo.json[/red]")
        return Exit.ERROR
    return Exit.DONE


def _say(line: str) -> None:
    console.print(line)
