"""Laws 1, 2, 3 and 12: who serves at every moment, when a weight may rise, and whether it is still ours to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from landbridge.laws.law import Law, Refusal, first
from landbridge.model.service import Limits, Side, Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """One side of a service as its cluster reports it, just now."""

    ready: int
    wanted: int
    reachable: bool = True
    """The other cluster's view of it: mirror endpoints ready, gateway answers, targets healthy."""


def check_sum(weights: Mapping[str, int]) -> Refusal | None:
    """Law 1: weights are not negative and their sum is not zero, or nobody serves (or everybody, as it happens)."""
    if any(w < 0 for w in weights.values()):
        return Refusal(Law.SERVED, f"a weight is negative: {dict(weights)}")
    if not sum(weights.values()):
        return Refusal(Law.SERVED, f"the weights of {', '.join(weights) or 'no backend'} sum to zero")
    return None


def check_percent(percent: int, limits: Limits) -> Refusal | None:
    """Law 1: a percent that the router can express: 0 to its maximum, in its steps (0 and the maximum always)."""
    if not 0 <= percent <= limits.max_percent:
        return Refusal(Law.SERVED, f"{percent} % is outside 0..{limits.max_percent} of this router")
    if percent % limits.step and percent != limits.max_percent:
        return Refusal(Law.SERVED, f"{percent} % is not a multiple of this router's step {limits.step}")
    return None


def check_drift(expected: Weight, live: Weight) -> Refusal | None:
    """Law 3: what will be written over is what was last seen."""
    if live.percent != expected.percent:
        return Refusal(Law.DRIFT, f"the weight is {live.percent} %, not {expected.percent} % as last seen")
    if live.version != expected.version:
        return Refusal(Law.DRIFT, f"somebody wrote the object: version {live.version}, expected {expected.version}")
    return None


def replicas_for(percent: int, size: int) -> int:
    """Replicas that carry so many percent of what `size` replicas carry today; at least 1 for any share."""
    return ceil(size * percent / 100) if percent > 0 else 0


def may_raise(
    *, expected: Weight, live: Weight, new: int, limits: Limits, target: Health, size: int, agrees: bool
) -> Refusal | None:
    """Law 2: the target is reachable, ready and large enough for the new share, and nobody else wrote the weight.

    `size` is the source's full number of replicas; `agrees` whether the share seen at the live weight agrees with it
    (true at weight 0, where nothing is expected).
    """
    needed = replicas_for(new, size)
    if new <= live.percent:
        return Refusal(Law.RAISE, f"{new} % is not above {live.percent} %")
    return first(
        check_percent(new, limits),
        check_drift(expected, live),
        None if target.reachable else Refusal(Law.RAISE, "the target's endpoints are not healthy as seen from outside"),
        None if target.ready >= target.wanted else not_ready(target),
        None if target.ready >= needed else too_small(target, needed, new),
        None if agrees else Refusal(Law.RAISE, f"the share seen does not agree with the weight {live.percent} %"),
    )


def not_ready(side: Health) -> Refusal:
    """Some wanted replicas are not ready."""
    return Refusal(Law.RAISE, f"{side.ready} of {side.wanted} replicas are ready")


def too_small(side: Health, needed: int, percent: int) -> Refusal:
    """All wanted replicas are ready, and are too few for the share."""
    return Refusal(Law.RAISE, f"{side.ready} replicas are too few for {percent} %, which needs {needed}")


def may_scale(*, side: Side, replicas: int, percent: int) -> Refusal | None:
    """Law 1: no side goes to 0 replicas while its weight is above 0; `percent` is the target's."""
    share = percent if side is Side.TARGET else 100 - percent
    if replicas <= 0 < share:
        return Refusal(Law.SERVED, f"the {side} carries {share} % and may not go to 0 replicas")
    return None


def may_shrink_source(
    *, percent: int, soaked: float, soak: float, bypass: int | None, approved: bool = False
) -> Refusal | None:
    """Laws 1 and 8: the source keeps its size until everything was at 100 % for the soak and nobody calls it any more.

    `bypass` counts connections that reach it past the waypoint; None is unknown and wants a person (`approved`).
    """
    if percent < 100:
        return Refusal(Law.SERVED, f"the source still carries {100 - percent} %")
    if soaked < soak:
        return Refusal(Law.ROLLBACK, f"soaked for {soaked:.0f} of {soak:.0f} s: the source keeps its size")
    if bypass is None and not approved:
        return Refusal(Law.SERVED, "it is not known whether connections reach the source past the waypoint")
    if bypass:
        return Refusal(Law.SERVED, f"{bypass} connections reach the source past the waypoint")
    return None


def check_bake(percents: Sequence[int], *, bake: int = 95) -> Refusal | None:
    """Law 12: weights rise, and the last one before 100 leaves 1 to 5 % on the source, for comparison."""
    if not percents or list(percents) != sorted(set(percents)) or percents[0] < 1 or percents[-1] > 100:
        return Refusal(Law.ALPHA, f"weights rise from 1 to 100, these are {list(percents)}")
    below = [p for p in percents if p < 100]
    if percents[-1] == 100 and (not below or below[-1] < bake):
        last = f"{below[-1]} %" if below else "0 %"
        return Refusal(Law.ALPHA, f"from {last} straight to 100 %: bake at {bake} to 99 % first")
    return None
