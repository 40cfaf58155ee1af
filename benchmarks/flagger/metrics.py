"""What Flagger asks: a Prometheus that scrapes what the waypoints' Envoys count, through the agents' read-only port.

Flagger's own query for Gateway API wants a metric of the application with the pods' names; its tutorial brings queries
of the data plane instead, as here. The page is made at the moment of a scrape, so it is as fresh as with a scrape of
Envoy itself.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.flagger.program import DIES_WITH_US, is_ready
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, wait_for
from landbridge.errors import LandbridgeError
from landbridge.lab.host import packages
from landbridge.lab.host.programs import Say
from landbridge.lab.standalone import find_ports
from landbridge.observe.envoy import PORT, waypoints

SCRAPE = "5s"
"""As the Prometheus that Flagger's own chart brings."""
SLOW = "500"
NAMES = (
    "landbridge_waypoint_requests_total",
    "landbridge_waypoint_bad_total",
    "landbridge_waypoint_slower_500ms_total",
)


def exposition(answers: Iterable[Mapping[str, Any]]) -> str:
    """Prometheus' text format of the waypoints' counters: ended requests, bad ones, slow ones, by backend (pure)."""
    lines = [f"# TYPE {name} counter" for name in NAMES]
    for answer in answers:
        for route, found in answer["routes"].items():
            for backend, counts in found["backends"].items():
                values = (counts["total"], counts["bad"], counts["slower_ms"].get(SLOW, 0))
                labels = {"namespace": answer["namespace"], "pod": answer["pod"], "route": route, "backend": backend}
                told = ",".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
                lines += [f"{name}{{{told}}} {value}" for name, value in zip(NAMES, values, strict=True)]
    return "\n".join(lines) + "\n"


@dataclass
class Exporter:
    """Answers every request with the counters as they are now; without all of them it answers 503, which is no data."""

    k8s: Kubernetes
    namespace: str

    async def page(self) -> str:
        """One page of all waypoints of the namespace."""
        pods = await waypoints(self.k8s, self.namespace)
        asked = [self.k8s.proxy(pod["metadata"]["name"], self.namespace, PORT, "/counters") for pod in pods]
        return exposition(json.loads(answer) for answer in await asyncio.gather(*asked))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One scrape, one connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            try:
                status, text = "200 OK", await self.page()
            except LandbridgeError:
                status, text = "503 Away", ""
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(text)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n{text}".encode())
            await writer.drain()
        writer.close()


@asynccontextmanager
async def prometheus(exporter: Exporter, folder: Path, *, say: Say, clock: Clock) -> AsyncIterator[str]:
    """A Prometheus on loopback that scrapes the exporter; its address."""
    await packages.provide({"prometheus": "prometheus"}, say=say)
    serving = await asyncio.start_server(exporter.answer, "127.0.0.1", 0)
    port = serving.sockets[0].getsockname()[1]
    jobs = [{"job_name": "waypoints", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": SCRAPE}, "scrape_configs": jobs}))
    [own] = find_ports(1)
    address = f"127.0.0.1:{own}"
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *DIES_WITH_US,
            *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
            f"--web.listen-address={address}",
            stdout=log,
            stderr=log,
        )
        try:
            ready = f"http://{address}/-/ready"
            await wait_for(lambda: is_ready(ready), what="Prometheus is ready", within=60, clock=clock)
            yield f"http://{address}"
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            serving.close()
