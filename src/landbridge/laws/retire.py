"""Laws 1, 7 and 8 for the last step: when the source may be taken out of a service's path for good."""

from __future__ import annotations

from dataclasses import dataclass

from landbridge.laws.law import Law, Refusal
from landbridge.laws.weights import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """One service as both clusters and the journal show it. None stands for what is not known."""

    done: bool
    """Every act of its plan is done, so it was at 100 % for its whole soak."""
    standing: str
    """What it is at if not, in words."""
    percent: int | None
    """The target's percent that the source's switch declares."""
    pods: int
    """Endpoints that the source still has behind the service."""
    target: Health
    requests: int | None
    """Requests and connections at the source while it was watched, for `seconds`."""
    open: int | None
    """Connections that callers hold open at the source's waypoints."""
    seconds: float
    unknown: str = ""
    """Why requests and open connections are not known."""


def may_retire(seen: Leaving) -> tuple[Refusal, ...]:
    """Every reason why the source has to stay in the path; none when it may go.

    A pod behind the service could be reached past the waypoint (`connect.bypass`): without one nobody can be.
    """
    found: list[Refusal | None] = [
        None if seen.done else Refusal(Law.ROLLBACK, f"it has not moved for good: {seen.standing}"),
        _weight(seen.percent),
        Refusal(Law.SERVED, f"the source still has {seen.pods} pods behind it") if seen.pods else None,
        _target(seen.target),
        *_calls(seen),
    ]
    return tuple(refusal for refusal in found if refusal is not None)


def _weight(percent: int | None) -> Refusal | None:
    if percent is None:
        return Refusal(Law.DRIFT, "the source's switch is missing")
    return None if percent == 100 else Refusal(Law.SERVED, f"the source still carries {100 - percent} %")


def _target(target: Health) -> Refusal | None:
    if target.ready and target.ready >= target.wanted:
        return None
    return Refusal(Law.SERVED, f"the target has {target.ready} of {target.wanted} replicas ready")


def _calls(seen: Leaving) -> list[Refusal]:
    if seen.requests is None or seen.open is None:
        return [Refusal(Law.SILENCE, f"it is not known whether anybody calls it on the source: {seen.unknown}")]
    found = []
    if seen.requests:
        found.append(Refusal(Law.SERVED, f"called {seen.requests} times on the source in {seen.seconds:.0f} s"))
    if seen.open:
        found.append(Refusal(Law.SERVED, f"{seen.open} connections to it are open on the source"))
    return found
