"""Flagger itself: built once from its published Go module, and started against a cluster as it is installed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import httpx2
import yaml

from landbridge.clients.kinds import CRD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, wait_for
from landbridge.errors import LandbridgeError
from landbridge.lab.host.modules import GATEWAY_API, fetch
from landbridge.lab.host.programs import Say, find_go, follow_build
from landbridge.lab.place import get_cache
from landbridge.lab.standalone import find_ports
from landbridge.model.service import Manifest

VERSION = "1.36.1"
MODULE = f"github.com/fluxcd/flagger@v{VERSION}"
PACKAGE = f"github.com/fluxcd/flagger/cmd/flagger@v{VERSION}"
ABOUT = 1050
"""So many packages are compiled for it."""
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
ROUTES = "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"
CANARIES = "artifacts/flagger/crd.yaml"


async def provide(*, say: Say, clock: Clock) -> Path:
    """The program: from LANDBRIDGE_LAB_BIN, else from the lab's cache, built first where it is not there yet.

    `go install` of a version takes exactly the versions in Flagger's own go.mod, checked against the checksum
    database. Raises LandbridgeError.
    """
    named = Path(os.environ.get("LANDBRIDGE_LAB_BIN") or "/nowhere") / "flagger"
    if os.access(named, os.X_OK):
        return named
    folder = get_cache() / f"flagger-{VERSION}"
    if not (folder / "flagger").exists():
        began = clock.monotonic()
        say(f"building Flagger {VERSION} (once; one to five minutes)")
        await _build(await find_go(say), folder, say)
        say(f"  built in {clock.monotonic() - began:.0f} s")
    return folder / "flagger"


async def _build(go: str, folder: Path, say: Say) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".new") as fresh:
        process = await asyncio.create_subprocess_exec(
            *(go, "install", "-v", "-trimpath", "-ldflags", "-s -w", PACKAGE),
            env={**os.environ, "CGO_ENABLED": "0", "GOBIN": fresh, "GOFLAGS": ""},
            cwd=folder,
            stderr=asyncio.subprocess.PIPE,
        )
        last = await follow_build(process, ABOUT, say)
        if process.returncode:
            raise LandbridgeError(
                "Flagger cannot be built: " + "\n".join(last),
                where=PACKAGE,
                advice="it needs a Go module proxy (GOPROXY), or a folder with `flagger` in LANDBRIDGE_LAB_BIN",
            )
        (Path(fresh) / "flagger").replace(folder / "flagger")


async def define(k8s: Kubernetes, *, flagger: bool, say: Say, clock: Clock) -> None:
    """Define HTTPRoute and, where `flagger` runs, its kinds, all as their modules publish them; wait until served."""
    wanted = [*yaml.safe_load_all((await fetch(GATEWAY_API, say=say) / ROUTES).read_text())]
    if flagger:
        wanted += yaml.safe_load_all((await fetch(MODULE, say=say) / CANARIES).read_text())
    names = []
    for manifest in filter(None, wanted):
        await k8s.apply(manifest, force=True)
        names.append(manifest["metadata"]["name"])

    async def served() -> bool:
        return all([_established(await k8s.get(CRD, name)) for name in names])

    await wait_for(served, what=f"{', '.join(names)} served by {k8s.name}", within=60, clock=clock)


def _established(definition: Manifest) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


@asynccontextmanager
async def running(program: Path, kubeconfig: Path, prometheus: str, namespace: str, log: Path) -> AsyncIterator[None]:
    """Flagger with its own defaults but for what it must be told; its log goes to the file `log`."""
    [port] = find_ports(1)
    with log.open("wb") as out:
        process = await _start(program, kubeconfig, prometheus, namespace, port, out)
        try:
            yield
            if process.returncode is not None:
                raise LandbridgeError(f"Flagger ended with {process.returncode}", where=str(log))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _start(
    program: Path, kubeconfig: Path, prometheus: str, namespace: str, port: int, log: IO[bytes]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *DIES_WITH_US,
        *(str(program), f"-kubeconfig={kubeconfig}", "-mesh-provider=gatewayapi:v1", f"-namespace={namespace}"),
        *(f"-metrics-server={prometheus}", f"-port={port}", "-log-level=info", "-enable-config-tracking=false"),
        stdout=log,
        stderr=log,
    )


async def is_ready(url: str) -> bool:
    """Whether a page answers 200."""
    try:
        async with httpx2.AsyncClient(timeout=2) as http:
            return (await http.get(url)).status_code == 200
    except httpx2.HTTPError:
        return False
