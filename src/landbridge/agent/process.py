"""Wires an agent together and runs it until SIGTERM.

On SIGTERM it first gives up what it leads, then goes on making its Envoy obey while that drains, and ends with it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio import sslproto

import structlog

from landbridge.agent.admin import Admin, EnvoyAwayError
from landbridge.agent.files import Files
from landbridge.agent.gateway import GatewayAgent
from landbridge.agent.options import Options, Role
from landbridge.agent.seed import seed
from landbridge.agent.server import Pages, serve
from landbridge.agent.waypoint import WaypointAgent
from landbridge.clients.kubeconfig import in_cluster, load
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock

TLS_BUFFER = 32 * 1024
"""Bytes that asyncio keeps for each connection with TLS, and reads of it at once; with its own 256 KB an agent of 5,000
mirrors had 170 MB, with these 138."""
LINGER_SECONDS = 600.0  # the kubelet's grace period ends it earlier
LINGER_POLL = 0.5

log = structlog.get_logger()


async def run(options: Options, clock: Clock) -> int:
    """Run one agent; returns 0 after SIGTERM. Whatever goes wrong ends it, and its supervisor starts it again."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    sslproto.SSLProtocol.max_size = TLS_BUFFER
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    context = load(options.kubeconfig).context() if options.kubeconfig else in_cluster()
    seed(options)
    admin = Admin(options.admin)
    try:
        async with Kubernetes.connect(context, name=options.cluster, clock=clock) as k8s:
            await _work(options, k8s, admin, clock, stopping)
    finally:
        await admin.close()
    return 0


async def _work(options: Options, k8s: Kubernetes, admin: Admin, clock: Clock, stopping: asyncio.Event) -> None:
    writer = Files(options.envoy_dir, admin, clock)
    worker: WaypointAgent | GatewayAgent
    if options.role is Role.WAYPOINT:
        worker = WaypointAgent(options, k8s, writer)
    else:
        worker = GatewayAgent(options, k8s, writer)
    log.info("started", role=options.role.value, namespace=options.namespace, cluster=options.cluster)
    pages = Pages(options, worker, admin, clock)
    tasks = {asyncio.create_task(worker.run()), asyncio.create_task(serve(options, pages))}
    asked = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({*tasks, asked}, return_when=asyncio.FIRST_COMPLETED)
    if asked in done and isinstance(worker, GatewayAgent):
        await worker.resign()
    if asked in done:
        await _linger(admin, clock)
    asked.cancel()
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
            raise result


async def _linger(admin: Admin, clock: Clock) -> None:
    """Stay while Envoy drains: its weights have to be obeyed to the last connection."""
    end = clock.monotonic() + LINGER_SECONDS
    while clock.monotonic() < end:
        try:
            await admin.get("/server_info")
        except EnvoyAwayError:
            return
        await clock.sleep(LINGER_POLL)
