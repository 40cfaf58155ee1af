"""The run lease: one Lease in each cluster says who may write, and lets splits go home when its runner is dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from landbridge.clients.answers import ConflictError, UnavailableError
from landbridge.clients.kinds import LEASE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, rfc3339
from landbridge.errors import DriftError, LandbridgeError
from landbridge.model.service import Manifest
from landbridge.run.turns import FenceError

NAME = "landbridge-run"
NAMESPACE = "landbridge"


class Held:
    """The lease in one cluster."""

    def __init__(self, k8s: Kubernetes, holder: str, *, ttl: float, clock: Clock) -> None:
        self.k8s = k8s
        self.holder = holder
        self.ttl = ttl
        self.clock = clock
        self.token = 0
        self._renewed = -1e9
        self._version = ""
        self._lost = ""

    async def look(self) -> None:
        """Wait until nobody else is alive; DriftError (exit 4) names a holder who is, by its renewals alone."""
        found = await self._find()
        if found is not None and _holder(found) not in {"", self.holder}:
            await self._wait_until_still(found)

    async def take(self) -> None:
        """Write the lease as ours; the token rises when it changes hands."""
        found = await self._find()
        self.token = _transitions(found) + (0 if _holder(found) == self.holder else 1)
        await self._write(found)

    async def renew(self) -> None:
        """Write the lease again; a lease that somebody else has taken is lost for good."""
        try:
            await self._write(None)
        except ConflictError:
            found = await self._find()
            if found is None or _holder(found) != self.holder or _transitions(found) != self.token:
                self._lost = _holder(found) or "nobody"
                raise self.error() from None
            await self._write(found)

    async def release(self) -> None:
        """Give it back at an orderly end."""
        if not self._lost and self._version:
            spec = {"spec": {"holderIdentity": "", "renewTime": rfc3339(self.clock.now())}}
            await self.k8s.patch(LEASE, NAME, spec, NAMESPACE, version=self._version)

    def check(self) -> None:
        """FenceError when somebody else has it; UnavailableError while it could not be renewed in time."""
        if self._lost:
            raise self.error()
        age = self.clock.monotonic() - self._renewed
        if age >= self.ttl:
            raise UnavailableError(
                f"the run lease in {self.k8s.name} could not be renewed for {age:.0f} s", where=self.k8s.name
            )

    def error(self) -> FenceError:
        """Who has the lease now."""
        return FenceError(
            f"the run lease in {self.k8s.name} is held by {self._lost}",
            where=f"Lease {NAMESPACE}/{NAME} in {self.k8s.name}",
            advice="only one runner may write; end the other one, or let it go on",
        )

    async def _find(self) -> Manifest | None:
        return await self.k8s.find(LEASE, NAME, NAMESPACE)

    async def _wait_until_still(self, found: Manifest) -> None:
        end = self.clock.monotonic() + self.ttl
        while self.clock.monotonic() < end:
            await self.clock.sleep(min(1.0, self.ttl / 5))
            now = await self._find()
            if now is None or not _holder(now):
                return
            if now["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
                raise DriftError(
                    f"another runner is at work: {_holder(now)}",
                    where=f"Lease {NAMESPACE}/{NAME} in {self.k8s.name}",
                    advice="wait for it to end, or give it commands from the folder it runs in",
                )

    async def _write(self, found: Manifest | None) -> None:
        spec: dict[str, Any] = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": max(1, round(self.ttl)),
            "leaseTransitions": self.token,
            "renewTime": rfc3339(self.clock.now()),
        }
        asked = self.clock.monotonic()
        if found is None and not self._version:
            head = {"apiVersion": LEASE.api_version, "kind": LEASE.kind}
            meta = {"name": NAME, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/managed-by": "landbridge"}}
            written = await self.k8s.create({**head, "metadata": meta, "spec": spec})
        else:
            version = self._version if found is None else str(found["metadata"]["resourceVersion"])
            written = await self.k8s.patch(LEASE, NAME, {"spec": spec}, NAMESPACE, version=version)
        self._version = str(written["metadata"]["resourceVersion"])
        self._renewed = asked


class RunLease:
    """The leases of both clusters, kept by a task of the runner and not by the engine."""

    def __init__(self, clusters: Sequence[Kubernetes], holder: str, *, ttl: float, clock: Clock) -> None:
        self.clock = clock
        self.ttl = ttl
        self.leases = {k8s.name: Held(k8s, holder, ttl=ttl, clock=clock) for k8s in clusters}

    async def acquire(self) -> None:
        """Look at both, then take both; what was taken is given back when the second is refused."""
        await asyncio.gather(*(held.look() for held in self.leases.values()))
        taken: list[Held] = []
        try:
            for held in self.leases.values():
                await held.take()
                taken.append(held)
        except LandbridgeError:
            for held in taken:
                await held.release()
            raise

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Both leases, taken before the block and given back after it."""
        await self.acquire()
        try:
            yield
        finally:
            await self.release()

    async def keep(self) -> None:
        """Renew for ever, three times a TTL; an API server that is away is asked again. Raises FenceError."""
        while True:
            await self.clock.sleep(self.ttl / 3)
            for held in self.leases.values():
                try:
                    await held.renew()
                except UnavailableError:
                    continue

    async def release(self) -> None:
        """Give both back."""
        for held in self.leases.values():
            try:
                await held.release()
            except LandbridgeError:  # it runs out by itself
                continue

    def check(self) -> None:
        """Nothing may be written unless both are ours and fresh."""
        for held in self.leases.values():
            held.check()

    def token(self, cluster: str) -> str:
        """The fencing token in a cluster: how often the lease has changed hands."""
        return str(self.leases[cluster].token)


def _holder(lease: Manifest | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def _transitions(lease: Manifest | None) -> int:
    return int(((lease or {}).get("spec") or {}).get("leaseTransitions") or 0)
