"""Stand-ins for the far ends of the leading agent: waypoints that serve whatever they are told, and a gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from landbridge.agent import names, ports
from landbridge.clients.informer import Informer
from landbridge.clients.kinds import CONFIGMAP, POD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.model.service import Manifest

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
ENDS = (OSError, asyncio.IncompleteReadError, asyncio.CancelledError)
"""How a connection ends. The last is ours, and asyncio would tell of it as of an error of its own."""


class Door:
    """A gateway that answers every question with 200 over mTLS, until it swallows everything."""

    def __init__(self) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        self._asked: set[asyncio.Task[None] | None] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, address: str, port: int, context: ssl.SSLContext) -> AsyncIterator[Door]:
        door = cls()
        server = await asyncio.start_server(door._serve, address, port, ssl=context, backlog=512)
        try:
            yield door
        finally:
            server.close()
            asked = [task for task in door._asked if task]
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def swallow(self) -> None:
        """Answer nobody any more, without closing anything."""
        self._flows.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._asked.add(task := asyncio.current_task())
        try:
            with suppress(*ENDS):
                while await reader.readuntil(b"\r\n\r\n"):
                    await self._flows.wait()
                    writer.write(OK)
                    await writer.drain()
        finally:
            writer.close()
            self._asked.discard(task)


class Waypoints:
    """One waypoint pod a namespace: listens on every port that the record allocates, and says so."""

    def __init__(self, k8s: Kubernetes, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._records = Informer(k8s, CONFIGMAP, fields=f"metadata.name={names.PORT_RECORD}", on_change=self._record)
        self._open: dict[tuple[str, int], asyncio.Server] = {}
        self._wanted: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self._active: dict[str, dict[str, int]] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, k8s: Kubernetes, addresses: Mapping[str, str]) -> AsyncIterator[Waypoints]:
        found = cls(k8s, addresses)
        for space, address in addresses.items():
            await _pod(k8s, space, address)
            await found._state_page(space, address)
        tasks = [asyncio.create_task(found._records.run()), asyncio.create_task(found._listen())]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()
            for server in found._open.values():
                server.close()

    def _record(self, _: str, item: Manifest) -> None:
        space = item["metadata"]["namespace"]
        for allocation in ports.read(item).values():
            self._wanted.put_nowait((self._addresses[space], allocation.listen))
            self._active.setdefault(space, {})[f"{space}/{allocation.service}/{allocation.port}"] = allocation.listen

    async def _listen(self) -> None:
        while True:
            address, port = await self._wanted.get()
            if (address, port) not in self._open:
                self._open[address, port] = await asyncio.start_server(_hang_up, address, port)

    async def _state_page(self, space: str, address: str) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(*ENDS):
                while await reader.readuntil(b"\r\n\r\n"):
                    body = json.dumps({"active": self._active.get(space, {}), "connections": {"0": 0}}).encode()
                    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                    writer.write(head.encode() + body)
                    await writer.drain()
            writer.close()

        self._open[address, names.AGENT_PORT] = await asyncio.start_server(serve, address, names.AGENT_PORT)


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _pod(k8s: Kubernetes, space: str, address: str) -> None:
    meta = {"name": "waypoint", "namespace": space, "labels": {names.ROLE: "waypoint"}}
    spec = {"nodeName": "node", "containers": [{"name": "envoy", "image": "envoy"}]}
    await k8s.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    ready = [{"type": "Ready", "status": "True"}]
    status = {"podIP": address, "podIPs": [{"ip": address}], "conditions": ready}
    await k8s.patch(POD, "waypoint", {"status": status}, space, subresource="status")


def encoded(data: Mapping[str, bytes | str]) -> dict[str, str]:
    """The data of a Secret."""
    texts = {key: value.encode() if isinstance(value, str) else value for key, value in data.items()}
    return {key: base64.b64encode(value).decode() for key, value in texts.items()}
