"""Puts the shop into a cluster of a running lab: `python -m landbridge.lab.shop`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.console import Console

from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock
from landbridge.errors import DocumentError, LandbridgeError
from landbridge.lab import lab as labs
from landbridge.lab import state as states
from landbridge.lab.lab import Lab
from landbridge.lab.load.pods import get_manifests
from landbridge.lab.shop.deploy import deploy
from landbridge.lab.shop.traffic import targets
from landbridge.model.service import Manifest

talk = Console(stderr=True, highlight=False, soft_wrap=True)
app = cyclopts.App(name="python -m landbridge.lab.shop")


@app.default
def shop(
    *,
    cluster: str = "",
    namespace: Annotated[str, Parameter(name=["--namespace", "-n"])] = "shop",
    customers: float = 0,
    index: int | None = None,
    within: float = 300,
) -> None:
    """Deploy nine services that call each other, and a schedule, and wait until all of them are ready.

    Example: `python -m landbridge.lab.shop --cluster legacy --customers 100`

    Parameters
    ----------
    cluster:
        Name of the cluster; the lab's first one without it.
    namespace:
        Where it goes; made if it is missing.
    customers:
        Requests a second that a pod in the namespace `callers` of the same cluster makes for an hour.
    index:
        Which lab; else the one whose kubeconfig is in KUBECONFIG, or the only one.
    within:
        Seconds to wait for it to be ready.
    """
    asyncio.run(_deploy(_get_lab(index), cluster, namespace, customers, within))


def _get_lab(index: int | None) -> Lab:
    if index is None:
        ours = {Path(path).resolve() for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path}
        named = [state.index for state in states.find_all() if state.site.kubeconfig.resolve() in ours]
        index = named[0] if len(named) == 1 else None
    return labs.get_lab(index)


async def _deploy(lab: Lab, cluster: str, namespace: str, customers: float, within: float) -> None:
    place = lab.cluster(cluster) if cluster else lab.clusters[0]
    if lab.databases is None:
        raise DocumentError("the lab has no databases", advice="bring it up with `landbridge lab up --databases`")
    clock = SystemClock()
    began = clock.monotonic()
    with talk.status(f"the shop starts in {place.name}"):
        async with Kubernetes.connect(place.kubeconfig, name=place.name) as k8s:
            made = await deploy(k8s, lab.databases, lab.images["shop"], clock=clock, namespace=namespace, within=within)
            for manifest in _callers(lab, namespace, customers) if customers else ():
                await k8s.apply(manifest, manager="callers")
    talk.print(f"{place.name}: {len(made)} objects in {namespace}, ready after {clock.monotonic() - began:.0f} s")


def _callers(lab: Lab, namespace: str, rate: float) -> list[Manifest]:
    results = lab.kubeconfig.parent / "callers"
    results.mkdir(exist_ok=True)
    return get_manifests(
        targets(rate, namespace=namespace),
        image=lab.images["landbridge"],
        results=results,
        namespace="callers",
        seconds=3600,
    )


if __name__ == "__main__":
    try:
        app()
    except LandbridgeError as error:
        talk.print(f"error: {error.what}\n  do:    {error.advice}".removesuffix("\n  do:    "), markup=False)
        sys.exit(error.exit_code)
