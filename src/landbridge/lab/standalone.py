"""API servers alone, for what needs no pods: etcd and API server on loopback, without root, ready in 3 to 5 s."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from landbridge.clock import Clock, SystemClock
from landbridge.errors import LandbridgeError
from landbridge.lab.cluster import control
from landbridge.lab.cluster.control import ControlPlane
from landbridge.lab.host import processes, programs
from landbridge.lab.host.programs import API_ONLY, Say
from landbridge.lab.place import get_cache

PORTS = range(20000, 32000)
"""Below the range that the kernel gives to outgoing connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """A running API server without nodes; pods can be written, but nothing starts them."""

    plane: ControlPlane
    controllers: bool

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.plane.name

    @property
    def context(self) -> str:
        """The name of its context in the kubeconfig."""
        return self.plane.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, certificates inline."""
        return self.plane.get_kubeconfig("admin")

    @property
    def audit(self) -> Path:
        """The audit log, JSON lines, level Metadata."""
        return self.plane.audit


async def start_apiserver(
    *, name: str = "legacy", controllers: bool = False, say: Say = print, clock: Clock | None = None
) -> ApiServer:
    """Start one that dies with this thread at the latest; `controllers` starts the controller manager too."""
    clock = clock or SystemClock()
    wanted = (*API_ONLY, "kube-controller-manager") if controllers else API_ONLY
    found = await programs.provide(wanted, say=say, clock=clock)
    await _clear_abandoned(clock)
    folder = get_cache() / "run" / f"api-{os.getpid()}-{name}-{uuid.uuid4().hex[:6]}"
    plane = _get_plane(name, folder, found, controllers)
    try:
        control.write_identities(plane, {})
        await control.start_api(plane, clock=clock)
        if controllers:
            processes.start(control.get_controllers(plane))
    except BaseException:
        await _clear(folder, clock)
        raise
    return ApiServer(plane=plane, controllers=controllers)


def _get_plane(name: str, folder: Path, found: dict[str, Path], controllers: bool) -> ControlPlane:
    port, client, peer = find_ports(3)
    # without a controller manager nobody makes the ServiceAccounts that the admission of pods asks for
    accounts = () if controllers else ("--disable-admission-plugins=ServiceAccount",)
    return ControlPlane(
        name=name,
        folder=folder,
        mark=folder,
        programs=found,
        ip="127.0.0.1",
        services="10.101.0.0/16",
        first_service="10.101.0.1",
        pods="10.91.0.0/16",
        port=port,
        etcd_ports=(client, peer),
        owned=True,
        # an Endpoints object may not hold a loopback address
        api_flags=("--endpoint-reconciler-type=none", *accounts),
    )


async def stop_apiserver(server: ApiServer, *, clock: Clock | None = None) -> None:
    """End it and remove its folder."""
    await _clear(server.plane.folder, clock or SystemClock())


@asynccontextmanager
async def apiserver(
    *, name: str = "legacy", controllers: bool = False, say: Say = print, clock: Clock | None = None
) -> AsyncIterator[ApiServer]:
    """An API server for the time of a block."""
    server = await start_apiserver(name=name, controllers=controllers, say=say, clock=clock)
    try:
        yield server
    finally:
        await stop_apiserver(server, clock=clock)


def find_ports(count: int) -> tuple[int, ...]:
    """So many ports of loopback that nobody listens on."""
    found: set[int] = set()
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.add(port)
        if len(found) == count:
            return tuple(found)
    raise LandbridgeError("no free ports on loopback", where=f"{PORTS.start} to {PORTS.stop}")


async def _clear(folder: Path, clock: Clock) -> None:
    await processes.stop(processes.find_marked(folder), clock=clock, grace=0.0)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _clear_abandoned(clock: Clock) -> None:
    """Remove what test runs that were killed left: their processes died with them, their folders did not."""
    for folder in (get_cache() / "run").glob("api-*"):
        pid = folder.name.split("-")[1]
        if not Path(f"/proc/{pid}").exists():
            await _clear(folder, clock)
