"""Which gateway agent leads: a Lease, renewed while its holder lives and taken over when it stood still.

Two leaders for a moment would be harmless, since every write is conditional on what was read; so no fencing is needed.
"""

from __future__ import annotations

from contextlib import suppress

from landbridge.agent import names
from landbridge.agent.watching import Signal
from landbridge.clients.answers import ConflictError
from landbridge.clients.kubernetes import LEASE, Kubernetes
from landbridge.clock import rfc3339
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

DURATION = 6.0
RENEW = 2.0


class Election:
    """Tries to lead. `signal` is woken whenever `leading` changes; times are compared by this process alone."""

    def __init__(self, k8s: Kubernetes, holder: str, signal: Signal) -> None:
        self._k8s = k8s
        self._holder = holder
        self._signal = signal
        self._seen = ("", 0.0)
        self._renewed = float("-inf")
        self._resigned = False
        self.leading = False

    async def run(self) -> None:
        """Take turns for ever."""
        while True:
            with suppress(LandbridgeError):  # cut off: another turn comes
                await self._turn()
            if self.leading and self._k8s.clock.monotonic() - self._renewed > DURATION:
                self._lead(leading=False)
            await self._k8s.clock.sleep(RENEW)

    async def resign(self) -> None:
        """Let another lead at once."""
        self._resigned = True
        if not self.leading:
            return
        self._lead(leading=False)
        try:
            lease = await self._k8s.get(LEASE, names.AGENT_LEASE, names.NAMESPACE)
            if lease["spec"].get("holderIdentity") == self._holder:
                await self._write(lease, {"holderIdentity": ""})
        except LandbridgeError:
            return

    async def _turn(self) -> None:
        if self._resigned:
            return
        lease = await self._k8s.find(LEASE, names.AGENT_LEASE, names.NAMESPACE)
        if lease is None:
            await self._k8s.create(self._lease(), manager=names.MANAGER)
            self._lead(leading=True)
            return
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder == self._holder:
            await self._write(lease, {"renewTime": self._now()})
            self._lead(leading=True)
        elif not holder or self._stood_still(str(lease["metadata"]["resourceVersion"])):
            taken = {"acquireTime": self._now(), "renewTime": self._now(), "holderIdentity": self._holder}
            await self._write(lease, taken | {"leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1})
            self._lead(leading=True)
        else:
            self._lead(leading=False)

    def _stood_still(self, version: str) -> bool:
        """Whether somebody else's Lease was not renewed for its duration, as far as this process has seen."""
        now = self._k8s.clock.monotonic()
        if self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] > DURATION

    async def _write(self, lease: Manifest, spec: dict[str, object]) -> None:
        version = lease["metadata"]["resourceVersion"]
        try:
            await self._k8s.patch(
                LEASE, names.AGENT_LEASE, {"spec": spec}, names.NAMESPACE, version=version, manager=names.MANAGER
            )
        except ConflictError:
            self._lead(leading=False)
            raise

    def _lead(self, *, leading: bool) -> None:
        if leading:
            self._renewed = self._k8s.clock.monotonic()
        if leading != self.leading:
            self.leading = leading
            self._signal.wake()

    def _lease(self) -> Manifest:
        meta = {"name": names.AGENT_LEASE, "namespace": names.NAMESPACE, "labels": {names.MANAGED_BY: "landbridge"}}
        spec = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": self._now(),
            "renewTime": self._now(),
            "leaseTransitions": 0,
        }
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": meta, "spec": spec}

    def _now(self) -> str:
        return rfc3339(self._k8s.clock.now())
