"""Laws 7, 8 and 9: what may go on, how the way back goes, and what must never run twice."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from landbridge.laws.law import Law, Refusal
from landbridge.laws.weights import Health
from landbridge.model.service import Side


class Back(StrEnum):
    """The deeds of a way back, in their order."""

    CONSUMERS_OFF = "target's consumers off"
    SOURCE_SIZED = "source healthy and at full size"
    WEIGHT_HOME = "weights home"
    CONSUMERS_ON = "source's consumers on"
    TARGET_DOWN = "target scaled down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a step has to show for itself before the weight rises again."""

    fresh: bool
    """The last look is not stale."""
    target_asked: int
    source_asked: int
    restarted: bool
    """The runner or a side restarted since the last closed block."""


def may_advance(shown: Shown) -> Refusal | None:
    """Law 7: silence is never a pass. No look, an old one, a side not asked or an own restart holds."""
    if not shown.fresh:
        return Refusal(Law.SILENCE, "there is no fresh look")
    if not shown.target_asked:
        return Refusal(Law.SILENCE, "no request reached the target")
    if not shown.source_asked:
        return Refusal(Law.SILENCE, "no request reached the source: nothing to compare with")
    if shown.restarted:
        return Refusal(Law.SILENCE, "restarted since the last closed block")
    return None


def may_go_back(deed: Back, *, done: Collection[Back], source: Health, full_size: int) -> Refusal | None:
    """Law 8: each deed of a way back waits for those before it, and traffic for a source that can carry it."""
    order = list(Back)
    missing = [b for b in order[: order.index(deed)] if b not in done]
    if missing:
        return Refusal(Law.ROLLBACK, f"{deed}: first {missing[0]}")
    if deed is Back.WEIGHT_HOME and (source.ready < max(full_size, 1) or not source.reachable):
        return Refusal(Law.ROLLBACK, f"the source has {source.ready} of {full_size} replicas ready")
    return None


def may_activate(side: Side, *, active: Collection[Side], idempotent: bool | None) -> Refusal | None:
    """Law 9: a cron job or singleton has at most one active side; unknown counts as singleton."""
    if idempotent or side.other not in active:
        return None
    known = "is not idempotent" if idempotent is False else "is not known to be idempotent"
    return Refusal(Law.SINGLETON, f"it {known} and is still active on the {side.other}")


def check_active(active: Collection[Side], *, idempotent: bool | None) -> Refusal | None:
    """Law 9 as a state: never two active sides of what may run once only."""
    if idempotent or len(set(active)) < 2:
        return None
    return Refusal(Law.SINGLETON, "it is active on both sides")
