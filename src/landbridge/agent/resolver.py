"""Gateways by host name: resolved again and again, all addresses of each, and the last ones while DNS is away.

A load balancer's name changes its addresses without telling anybody (linkerd2#10635), and a name has one for each zone
(linkerd2#11161).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from landbridge.clock import Clock

EVERY = 5.0
TIMEOUT = 5.0
Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""All addresses of a host name; OSError when it has none or DNS does not answer."""


async def ask_dns(host: str) -> list[str]:
    """As the system resolves it, hosts file included."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Resolver:
    """The addresses of the host names that were asked for. `on_change` is called when some of them changed."""

    def __init__(self, clock: Clock, on_change: Callable[[], None], lookup: Lookup = ask_dns) -> None:
        self._clock = clock
        self._on_change = on_change
        self._lookup = lookup
        self._known: dict[str, tuple[str, ...]] = {}
        self._wanted: set[str] = set()
        self._asked = asyncio.Event()
        self.problems: dict[str, str] = {}

    def __call__(self, host: str) -> tuple[str, ...]:
        """The addresses as last seen, in a stable order; none while nobody knows. An address is its own."""
        if _is_address(host):
            return (host,)
        if host not in self._wanted:
            self._wanted.add(host)
            self._asked.set()
        return self._known.get(host, ())

    async def run(self) -> None:
        """Ask for ever: at once for a new name, and again for all of them."""
        while True:
            await self.refresh()
            self._asked.clear()
            if not self._wanted <= self._known.keys() | self.problems.keys():
                continue
            try:
                async with asyncio.timeout(EVERY):
                    await self._asked.wait()
            except TimeoutError:
                continue

    async def refresh(self) -> None:
        """Ask once for every name; a failure keeps what was known."""
        hosts = sorted(self._wanted)
        changed = await asyncio.gather(*(self._ask(host) for host in hosts))
        if any(changed):
            self._on_change()

    async def _ask(self, host: str) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT):
                found = tuple(sorted(set(await self._lookup(host))))
            if not found:
                raise OSError("no address")
        except (OSError, TimeoutError) as error:
            self.problems[host] = f"{host} cannot be resolved: {str(error) or 'no answer'}"
            return False
        self.problems.pop(host, None)
        if found == self._known.get(host):
            return False
        self._known[host] = found
        return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
