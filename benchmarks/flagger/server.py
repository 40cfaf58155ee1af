"""The service that is moved: answers at once; FAIL (0 to 1) of its answers are 500, drawn one by one.

It runs in a pod, on the standard library alone. FAIL set at all makes it the new copy, for the callers' counts.
"""

# ruff: noqa: TID251 - there is no clock port here

import asyncio
import os
import random
import signal

NAME = os.environ["NAME"]
FAIL = float(os.environ["FAIL"] or 0)
SIDE = "new" if os.environ["FAIL"] else "old"
DRAIN = 4.0
"""Seconds for which it goes on answering after SIGTERM: an ending pod must not fail requests."""


def answer(status: str, more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nx-served-by: {SIDE}\r\n{more}content-length: 2\r\n\r\nok".encode()


SOUND, BROKEN = answer("200 OK"), answer("500 Broken", f"x-broken-copy: {NAME}@new\r\n")


class Server(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            broken = not head.startswith(b"GET /ready") and random.random() < FAIL
            self.transport.write(BROKEN if broken else SOUND)


async def main() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await loop.create_server(Server, "0.0.0.0", 8080, backlog=512)
    await stop.wait()
    await asyncio.sleep(DRAIN)


if __name__ == "__main__":
    asyncio.run(main())
