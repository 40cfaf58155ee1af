"""What is remembered of a run: entries, receipts, commands and the state that decides what comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from landbridge.model.service import ObjectRef, ServiceId, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an act replaced in one object, enough to put it back exactly; `prior` None means it did not exist.

    Never holds the value of a Secret: `prior` of a Secret is its resourceVersion and a digest.
    """

    side: Side
    ref: ObjectRef
    prior: Mapping[str, Any] | None
    version: str = ""


class Phase(StrEnum):
    """Where a service stands."""

    WAITING = "waiting"
    MOVING = "moving"
    HELD = "held"
    PAUSED = "paused"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    SOAKING = "soaking"
    DONE = "done"
    DRIFTED = "drifted"
    FAILED = "failed"


class Outcome(StrEnum):
    """How an act ended, as the journal says it."""

    STARTED = "started"
    DONE = "done"
    UNDONE = "undone"
    HELD = "held"
    FAILED = "failed"
    DRIFT = "drift"
    LOOKED = "looked"
    VERDICT = "verdict"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the journal; `at` in seconds since the epoch, `by` the person or `landbridge`."""

    service: ServiceId
    act: str
    outcome: Outcome
    at: float
    by: str = "landbridge"
    detail: Mapping[str, Any] = field(default_factory=dict)
    receipts: tuple[Receipt, ...] = ()


class What(StrEnum):
    """Commands that people give to a run."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a person asked for; `service` None means all. Ordered by `seq`."""

    seq: int
    what: What
    service: ServiceId | None
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that the next decision about one service needs; the input of its next short workflow."""

    service: ServiceId
    phase: Phase
    done: tuple[str, ...] = ()
    """Ids of the acts that are done and not undone, in order: the undo stack."""
    weight: int = 0
    step_started: float = 0.0
    attempt: int = 1
    judge: Mapping[str, Any] = field(default_factory=dict)
    command_seq: int = 0
    reason: str = ""
    tries: int = 0
    """How often in a row the next act of the way back did not succeed."""
    homeward: bool = False
    """It stopped on its way home: what takes it up again goes on home."""
