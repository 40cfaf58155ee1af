"""`landbridge lab load`: in a file of its own, for it runs in pods where nothing else of the lab is needed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from landbridge.clock import SystemClock
from landbridge.errors import DocumentError
from landbridge.lab.load.generator import Write, generate
from landbridge.lab.load.target import Target, parse_url, read_targets

_INSIDE = "LANDBRIDGE_LOAD_NETNS"


def load(
    url: tuple[str, ...] = (),
    /,
    *,
    targets: Path | None = None,
    rate: float = 100.0,
    seconds: float = 10.0,
    fresh: bool = False,
    out: Path | None = None,
    netns: str = "",
) -> None:
    """Send load at a fixed rate, whatever the answers, and count every request.

    Prints a JSON line each second with totals, one for each of the first 100 failures, and a summary.

    Example: `landbridge lab load http://10.90.0.50/ --rate 200 --seconds 30`

    Parameters
    ----------
    url:
        `[NAME=]http|sse|tcp|grpc://HOST[:PORT]/PATH`; each gets the whole rate.
    targets:
        A JSON file with a list of targets instead: name, mode, host, port, path, method, body, rate, fresh, max_age.
    rate:
        Requests a second; for sse the number of streams.
    seconds:
        How long; SIGTERM or Ctrl-C ends it sooner, with a summary.
    fresh:
        A new connection for each request.
    out:
        Write the lines to this file as well.
    netns:
        Send from this network namespace of the lab (see `landbridge lab up -o json`).
    """
    if netns and os.environ.get(_INSIDE) != netns:
        _enter(netns)
    wanted = [*(read_targets(targets) if targets else ()), *(parse_url(u, rate=rate, fresh=fresh) for u in url)]
    _check(wanted, seconds)
    with ExitStack() as stack:
        file = stack.enter_context(out.open("a", buffering=1)) if out else None

        def write(line: str) -> None:
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            if file:
                file.write(f"{line}\n")

        asyncio.run(_run(wanted, seconds, write))


def _check(targets: list[Target], seconds: float) -> None:
    if not targets:
        raise DocumentError("nothing to send load to", advice="name URLs, or a file with --targets")
    names = [target.name for target in targets]
    if len(set(names)) < len(names):
        raise DocumentError(f"two targets have one name: {', '.join(names)}", advice="write NAME=URL")
    if seconds <= 0 or any(target.rate <= 0 for target in targets):
        raise DocumentError("rate and seconds are above 0")


def _enter(netns: str) -> None:
    """Become the same command inside the namespace."""
    if not Path(f"/run/netns/{netns}").exists():
        raise DocumentError(f"there is no network namespace {netns}", advice="`landbridge lab up -o json` names them")
    os.environ[_INSIDE] = netns
    os.execvp("nsenter", ["nsenter", f"--net=/run/netns/{netns}", sys.executable, *sys.orig_argv[1:]])


async def _run(targets: list[Target], seconds: float, write: Write) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await generate(targets, seconds=seconds, write=write, clock=SystemClock(), stop=stop)
