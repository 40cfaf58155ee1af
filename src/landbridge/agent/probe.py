"""Does the other cluster answer for a Service? Asked over mTLS at its gateway, one question a Service.

A green gateway hides an empty leaf (waypoint.md 13.6), so the question carries the Service's own name: the SNI
`health.<name>` answers 200 while the exported Service has ready endpoints.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from landbridge.agent.latency import RoundTrips
from landbridge.agent.secure import Secure
from landbridge.clock import Clock, SystemClock
from landbridge.envoy.state import Endpoint

EVERY = 2.0
TIMEOUT = 2.0  # a remote that swallows packets is not ready within EVERY + TIMEOUT + AGAIN + TIMEOUT = 6.5 s
AGAIN = 0.5
FAILURES = 2
AT_ONCE = 32  # probes in flight: 5,000 Services must not open 5,000 connections at a time
KEPT = 512  # open connections: each costs some 40 kB


_Key = tuple[Endpoint, str, str]
"""Gateway, SNI and identity: what a connection is good for."""
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")


class Answer(Enum):
    """What a gateway says of one Service."""

    READY = "ready"
    EMPTY = "empty"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Health:
    """What was seen of one remote Service. `ready` is what its slice should say; None as long as nobody knows."""

    ready: bool | None = None
    failures: int = 0

    def after(self, *, answered: bool) -> Health:
        """The health after one more probe: one success is enough, one failure is not."""
        if answered:
            return Health(ready=True)
        failures = self.failures + 1
        return Health(ready=False if failures >= FAILURES or self.ready is None else self.ready, failures=failures)


class Prober:
    """Asks gateways with the certificate in `tls` (tls.crt, tls.key, ca.crt), which is read again when it changes."""

    def __init__(self, tls: Path, clock: Clock | None = None) -> None:
        self._folder = tls
        self._clock = clock or SystemClock()
        self._stamp = 0
        self._context: ssl.SSLContext | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._kept: dict[_Key, Secure] = {}

    async def ask(self, gateway: Endpoint, name: str, identity: str, trips: RoundTrips | None = None) -> Answer:
        """What a gateway says for the SNI `name`, if it is who it should be; `trips` gets the times, or why not."""
        try:
            async with self._slots, asyncio.timeout(TIMEOUT):
                return Answer.READY if await self._ask(gateway, name, identity, trips) else Answer.EMPTY
        except TimeoutError:
            problem = f"no answer in {TIMEOUT:g} s"
        except (OSError, EOFError, ValueError) as error:  # ssl.SSLError is an OSError
            problem = str(error) or type(error).__name__
        if trips is not None:
            trips.problem = f"{gateway.address}:{gateway.port}: {problem}"
        return Answer.SILENT

    async def _ask(self, gateway: Endpoint, name: str, identity: str, trips: RoundTrips | None) -> bool:
        """Ask on the connection of the last time, or on a new one: nine handshakes a second were 4 % of a core."""
        context, key = self._tls(), (gateway, name, identity)
        if kept := self._kept.pop(key, None):
            with contextlib.suppress(OSError, EOFError, ValueError):
                return await self._question(key, kept, trips)
        line = await Secure.open(gateway.address, gateway.port, context, name)
        if ("URI", identity) not in line.certificate.get("subjectAltName", ()):
            line.close()
            raise ValueError(f"it is not {identity}")
        return await self._question(key, line, trips)

    async def _question(self, key: _Key, line: Secure, trips: RoundTrips | None) -> bool:
        """One request; the connection is kept when the answer was read to its end. Raises when it is of no use."""
        kept = False
        try:
            began = self._clock.monotonic()
            await line.write(f"GET / HTTP/1.1\r\nHost: {key[1]}\r\n\r\n".encode())
            head = (await line.until(b"\r\n\r\n")).lower()
            if trips is not None:
                trips.add(began, self._clock.monotonic() - began)
            length = _LENGTH.search(head)
            if length and b"connection: close" not in head:
                await line.exactly(int(length[1]))
                self._keep(key, line)
                kept = True
            return head.split(b" ")[1:2] == [b"200"]
        finally:
            if not kept:
                line.close()

    def knows(self, gateway: Endpoint, name: str, identity: str) -> bool:
        """Whether a connection is kept, so that asking costs no handshake."""
        return (gateway, name, identity) in self._kept

    def _keep(self, key: _Key, line: Secure) -> None:
        while len(self._kept) >= KEPT:
            self._kept.pop(next(iter(self._kept))).close()
        self._kept[key] = line

    def close(self) -> None:
        """Let go of every connection that is kept."""
        for line in self._kept.values():
            line.close()
        self._kept.clear()

    def _tls(self) -> ssl.SSLContext:
        stamp = sum((self._folder / name).stat().st_mtime_ns for name in ("tls.crt", "tls.key", "ca.crt"))
        if self._context is None or stamp != self._stamp:
            context = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
            context.check_hostname = False  # identities are SPIFFE URIs, compared by `_ask`
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(self._folder / "tls.crt", self._folder / "tls.key")
            context.set_alpn_protocols(["http/1.1"])
            self._context, self._stamp = context, stamp
            self.close()
        return self._context
