"""Names to addresses, remembered for as long as the cluster's DNS says (5 s)."""

from __future__ import annotations

import asyncio
import socket

from landbridge.clock import Clock

TTL = 5.0


class Resolver:
    """Remembers answers; a failed lookup is not remembered."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, int], tuple[float, tuple[str, int]]] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[tuple[str, int]]] = {}

    async def resolve(self, host: str, port: int) -> tuple[str, int]:
        """The address of a host. Raises socket.gaierror."""
        key = (host, port)
        known = self._known.get(key)
        if known and known[0] > self._clock.monotonic():
            return known[1]
        if key not in self._asking:
            self._asking[key] = asyncio.create_task(self._ask(host, port))
            self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(self._asking[key])

    async def _ask(self, host: str, port: int) -> tuple[str, int]:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        address = found[0][4][:2]
        answer = (str(address[0]), int(address[1]))
        self._known[(host, port)] = (self._clock.monotonic() + TTL, answer)
        return answer
