"""`landbridge lab`: up, down, status, load-image, load."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import cyclopts
import yaml
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from landbridge.clock import SystemClock
from landbridge.errors import DocumentError
from landbridge.lab import lab as labs
from landbridge.lab import state as states
from landbridge.lab import status as statuses
from landbridge.lab.images.build import build_image
from landbridge.lab.load.command import load

app = cyclopts.App(name="lab", help="Real Kubernetes clusters on this machine, to rehearse a migration on.")

Output = Annotated[Literal["table", "json", "yaml"], Parameter(name=["--output", "-o"])]
Index = Annotated[int | None, Parameter(name="--index")]


def _say(line: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(line)


def _print(value: object, output: Literal["json", "yaml"]) -> None:
    if output == "yaml":
        yaml.safe_dump(value, sys.stdout, sort_keys=False)
        return
    json.dump(value, sys.stdout, indent=1)
    sys.stdout.write("\n")


@app.command
def up(
    *,
    clusters: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = labs.CLUSTERS,
    nodes: int = 1,
    databases: bool = False,
    index: Index = None,
    output: Output = "table",
) -> None:
    """Bring a lab up: API servers, nodes, DNS and LoadBalancer addresses. Needs root.

    Example: `landbridge lab up --clusters legacy eks -o json`

    Parameters
    ----------
    clusters:
        Names of the clusters, one to four.
    nodes:
        Nodes of each cluster.
    databases:
        Start PostgreSQL and Redis too, which all clusters reach.
    index:
        Number of the lab, where several run on one machine; else the first free one.
    output:
        `json` and `yaml` print where everything is, for other programs.
    """
    lab = asyncio.run(labs.start_lab(clusters=clusters, nodes=nodes, databases=databases, index=index, say=_say))
    if output == "table":
        _say(f"export KUBECONFIG={lab.kubeconfig}")
    else:
        _print(lab.describe(), output)


@app.command
def build() -> None:
    """Install and build what labs need, once, and start nothing. Needs root; about eight minutes from nothing.

    Example: `landbridge lab build`
    """
    asyncio.run(labs.build_lab(say=_say))


def _choose(index: int | None) -> list[int]:
    if index is not None:
        return [index]
    return [labs.get_lab().state.index] if states.find_indexes() else []


@app.command
def down(*, index: Index = None, all_: Annotated[bool, Parameter(name="--all")] = False) -> None:
    """Take a lab away, and what dead ones left; nothing is left behind.

    Example: `landbridge lab down`

    Parameters
    ----------
    index:
        Which lab; needed only where several run.
    all_:
        Every lab on this machine, also those of running tests.
    """
    clock = SystemClock()
    began = clock.monotonic()
    for number in asyncio.run(labs.clear_abandoned(clock=clock)):
        _say(f"what was left of lab {number} is gone")
    for number in states.find_indexes() if all_ else _choose(index):
        asyncio.run(labs.stop_lab(number))
        _say(f"lab {number} is gone")
    _say(f"{clock.monotonic() - began:.1f} s")


@app.command
def status(*, output: Output = "table") -> None:
    """Show every lab: what runs, since when, with which memory, and where the logs are.

    Example: `landbridge lab status -o json`

    Parameters
    ----------
    output:
        `json` and `yaml` are for other programs; memory is in bytes, `since` in seconds since the epoch.
    """
    labs_here = statuses.get_all()
    if output != "table":
        _print({"labs": [asdict(lab) | {"memory": lab.memory} for lab in labs_here]}, output)
        return
    if not labs_here:
        _say("no lab here; `landbridge lab up` starts one")
    now = SystemClock().now()
    for lab in labs_here:
        Console().print(_get_table(lab, now))


def _get_table(lab: statuses.LabStatus, now: float) -> Table:
    clusters = ", ".join(lab.clusters)
    minutes = (now - lab.since) / 60
    title = f"lab {lab.index}: {clusters}, {lab.phase} for {minutes:.0f} min, {lab.memory / 2**20:.0f} MiB"
    folder = Path(lab.kubeconfig).parent
    caption = f"logs: {folder}/PART/log/PROCESS.log\nKUBECONFIG={lab.kubeconfig}"
    table = Table("part", "process", "pid", "MiB", title=title, caption=caption, caption_justify="left")
    for process in lab.processes:
        pid = str(process.pid) if process.pid else "[red]ended[/red]"
        table.add_row(process.part, process.name, pid, f"{process.memory / 2**20:.0f}")
    table.add_row("all clusters", "pods", "", f"{lab.pods / 2**20:.0f}")
    return table


@app.command
def load_image(
    archive: Path,
    /,
    *,
    reference: Annotated[str, Parameter(name=["--reference", "-r"])] = "",
    cluster: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    index: Index = None,
) -> None:
    """Load an image into every node: an archive (OCI, or what `docker save` writes), or a folder that becomes one.

    Example: `landbridge lab load-image shop.tar`, `landbridge lab load-image ./root -r example.test/shop:1`

    Parameters
    ----------
    archive:
        The archive, or a folder whose content is the image's root.
    reference:
        Name and tag of the image that is made of a folder.
    cluster:
        Only into these clusters.
    index:
        Which lab; needed only where several run.
    """
    lab = labs.get_lab(index)
    if archive.is_dir():
        if not reference:
            raise DocumentError("a folder needs a reference", advice="name the image with --reference NAME:TAG")
        archive = build_image(archive, reference, say=_say)
    if not archive.exists():
        raise DocumentError(f"there is no {archive}")
    asyncio.run(lab.load_image(archive, cluster))
    _say(f"loaded into {', '.join(cluster or lab.state.clusters)}")


app.command(load)
