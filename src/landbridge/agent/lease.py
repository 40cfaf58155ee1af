"""Reads run leases and judges them by law 11: only what was seen unchanged on a live API server has run out.

The law itself is `laws.lease`. What is added here: a lease that has run out stays so until the runner renews it, also
over a gap or a restart of this agent, for else weights would jump back to a side that may be broken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from landbridge.agent import names
from landbridge.clients.kubernetes import LEASE, Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.laws import lease as law
from landbridge.model.service import Manifest

POLL_SECONDS = 1.0  # well within law.GAP, after which the API server counts as not live


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is known of one Lease: the law's view, its duration, and when (monotonic) it ran out, if it has."""

    view: law.LeaseView
    seconds: float
    expired_at: float | None = None


def sight(prior: Sighting | None, lease: Manifest | None, at: float) -> Sighting:
    """The sighting after one more answer of the API server at `at`; None as lease: there is none, nobody renews."""
    spec = (lease or {}).get("spec") or {}
    holder, token = str(spec.get("holderIdentity") or ""), int(spec.get("leaseTransitions") or 0)
    mark = f"{holder}|{spec.get('renewTime') or ''}|{token}"
    view = law.see(prior.view if prior else None, mark=mark, holder=holder, token=token, at=at)
    seconds = float(spec.get("leaseDurationSeconds") or (prior.seconds if prior else law.TTL))
    seen = Sighting(view=view, seconds=seconds)
    if prior is not None and prior.expired_at is not None and prior.view.mark == mark:
        return replace(seen, expired_at=prior.expired_at)
    if law.expiry(view, at=at, ttl=seconds) is law.Expiry.EXPIRED:
        return replace(seen, expired_at=at)
    return seen


def gone_home(expired: Sequence[tuple[str, float]], now: float) -> frozenset[str]:
    """Which of the `(service, expired_at)` may be home by now: paced by the law, oldest first, then by name.

    A pure function of what expired and when, so that two agents of one namespace agree without talking.
    """
    ordered = sorted(expired, key=lambda item: (item[1], item[0]))
    return frozenset(
        name for index, (name, at) in enumerate(ordered) if now >= at and law.is_its_turn(index, since=at, at=now)
    )


class Leases:
    """The leases that splits refer to. `remembered` maps a Lease to the renewal that had run out before a restart."""

    def __init__(self, k8s: Kubernetes, remembered: Mapping[str, str] | None = None) -> None:
        self._k8s = k8s
        self._remembered = dict(remembered or {})
        self.sightings: dict[str, Sighting] = {}

    async def poll(self, leases: Collection[str]) -> None:
        """Read each Lease once; what cannot be read is no news (cut off, or an API server that starts: 403)."""
        for name in sorted(leases):
            try:
                lease = await self._k8s.find(LEASE, name, names.NAMESPACE)
            except LandbridgeError:
                continue
            at = self._k8s.clock.monotonic()
            seen = sight(self.sightings.get(name), lease, at)
            if name not in self.sightings and self._remembered.get(name) == seen.view.mark:
                seen = replace(seen, expired_at=at)
            self.sightings[name] = seen
        for name in set(self.sightings) - set(leases):
            del self.sightings[name]

    def expired_at(self, lease: str) -> float | None:
        """When a Lease ran out, in monotonic seconds of this process; None while it has not, or is unknown."""
        seen = self.sightings.get(lease)
        return seen.expired_at if seen else None

    def expired(self) -> dict[str, str]:
        """The renewals that have run out, to remember over a restart."""
        return {name: seen.view.mark for name, seen in self.sightings.items() if seen.expired_at is not None}

    def report(self) -> dict[str, dict[str, object]]:
        """What `/state` says of each lease."""
        now = self._k8s.clock.monotonic()
        return {
            name: {
                "holder": seen.view.holder,
                "token": seen.view.token,
                "still_for": round(now - seen.view.still_since, 1),
                "read_ago": round(now - seen.view.live_at, 1),
                "expired": seen.expired_at is not None,
            }
            for name, seen in self.sightings.items()
        }
