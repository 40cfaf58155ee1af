"""Laws 4 and 11: one writer, and what splits do when it is dead.

An agent judges expiry by changes that it saw itself on a live API server, never by comparing clocks: a mark that did
not change for the whole TTL *while the API server answered all the time*. After a gap the TTL starts again, for the
runner could not renew either. Without a live API server nothing expires: an agent that is cut off cannot tell a dead
runner from a dead API.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from landbridge.laws.law import Law, Refusal

TTL = 15.0
GAP = 3.0
"""Seconds without an answer from which the API server counts as not live."""

PER_SECOND = 20
"""Splits that go home each second when many expire at once: home must not meet all of it in one moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseView:
    """What one observer knows of a run lease. Times are its own monotonic seconds."""

    mark: str
    """What a renewal changes: renewTime with holder and transitions; only compared for equality."""
    holder: str
    token: int
    """Fencing token: `leaseTransitions`."""
    still_since: float
    """Since when the mark has stood unchanged under a live API server."""
    live_at: float
    """Last answer of the API server."""


class Expiry(StrEnum):
    """What is known of a lease."""

    HELD = "held"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


def see(view: LeaseView | None, *, mark: str, holder: str, token: int, at: float) -> LeaseView:
    """The view after reading the lease from the API server at own time `at`."""
    fresh = LeaseView(mark=mark, holder=holder, token=token, still_since=at, live_at=at)
    if view is None or at - view.live_at > GAP or mark != view.mark:
        return fresh
    return replace(view, live_at=max(at, view.live_at))


def proof_of_life(view: LeaseView, *, at: float) -> LeaseView:
    """The view after the API server answered without news of the lease (a bookmark, another watch event)."""
    return see(view, mark=view.mark, holder=view.holder, token=view.token, at=at)


def expiry(view: LeaseView | None, *, at: float, ttl: float = TTL) -> Expiry:
    """Whether the lease has run out, as far as this observer may say."""
    if view is None or at - view.live_at > GAP:
        return Expiry.UNKNOWN
    return Expiry.EXPIRED if view.live_at - view.still_since >= ttl else Expiry.HELD


def may_go_home(
    view: LeaseView | None, *, at: float, policy: str, ready: int, wanted: int, ttl: float = TTL
) -> Refusal | None:
    """Law 11: an expired split goes home only if it says so, and home is ready and has its size.

    `policy` is the split's `home` or `stay`; `ready` and `wanted` are home's replicas.
    """
    match expiry(view, at=at, ttl=ttl):
        case Expiry.UNKNOWN:
            return Refusal(Law.DEAD_RUNNER, "the API server does not answer: hold")
        case Expiry.HELD:
            return Refusal(Law.DEAD_RUNNER, "the runner renews its lease")
        case Expiry.EXPIRED:
            pass
    if policy != "home":
        return Refusal(Law.DEAD_RUNNER, f"on expiry this split says {policy!r}")
    if ready < 1 or ready < wanted:
        return Refusal(Law.DEAD_RUNNER, f"home has {ready} of {wanted} replicas ready")
    return None


def is_its_turn(gone: int, *, since: float, at: float) -> bool:
    """Whether one more of many expired splits may go home now: `gone` went since `since`."""
    return gone < 1 + PER_SECOND * max(0.0, at - since)


def may_write(*, holder: str, token: int, live: LeaseView | None, at: float, ttl: float = TTL) -> Refusal | None:
    """Law 4: the lease is ours by name and by fencing token, and was renewed within the TTL by our own clock."""
    if live is None:
        return Refusal(Law.ONE_WRITER, "there is no run lease")
    if live.holder != holder or live.token != token:
        return Refusal(Law.ONE_WRITER, f"{live.holder} holds the run lease (token {live.token}), not we ({token})")
    if at - live.still_since >= ttl:
        return Refusal(Law.ONE_WRITER, f"our lease is {at - live.still_since:.0f} s old: others may hold it")
    return None
