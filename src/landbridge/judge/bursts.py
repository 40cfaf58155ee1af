"""Failures that come in bunches: what counts as one.

The bet of `errors.py` takes outcomes in a block as independent. A crashed pod, a retried call or a stalled process
fails many requests for one cause, and counted one by one they break the promise (48 % false roll-backs for bursts of
five). Three ways, chosen before the ramp and said in the plan:

- `request`: outcomes are independent, or each stands for a user's request after retries (never for attempts);
- `session`: the data counts sessions or traces, which are the independent unit;
- `cap`: in each cluster unit (one stratum, one second) the new side may exceed what the old side shows in the same
  unit, in proportion, by one event for each 50 or part of them. Up to bunches of 50 that counts no bunch more than
  once, and it only lowers the evidence, so it is valid wherever counting all is. It costs 4 to 30 % more bad requests
  at one look a second for faults from the start, more for late ones at large shares, and is of little use at five.
"""

from __future__ import annotations

from enum import StrEnum
from math import log

UNIT = 0.75
"""Seconds that a cluster unit lasts at least: looks each second may come a little early."""


LARGEST = 50
"""Largest bunch that is still one event: without a bound, an outage at a large share could not be told from a bunch."""


MOST = log(2.0)
"""With `cap`, a block multiplies no latency bet by more than 2: a stall (GC, a full disk) hits all that a side does at
that time, and if both sides stall equally often, the next one is the new side's in every second case."""


class Bursts(StrEnum):
    """What one failure is."""

    REQUEST = "request"
    SESSION = "session"
    CAP = "cap"


def capped(bad_new: float, n_new: int, bad_old: float, n_old: int, *, null: float = 1.0) -> float:
    """The new side's events of one unit, at most a bunch's worth above the old side's in proportion (times `null`)."""
    allowed = null * bad_old * n_new / n_old if n_old else 0.0
    return min(bad_new, allowed + max(1.0, bad_new / LARGEST))
