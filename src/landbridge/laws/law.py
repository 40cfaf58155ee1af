"""The laws by number, and a refusal: a value that says which law forbids an act and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Law(IntEnum):
    """What landbridge never breaks; ARCHITECTURE.md tells each in a sentence."""

    SERVED = 1
    RAISE = 2
    DRIFT = 3
    ONE_WRITER = 4
    NO_LOOP = 5
    JOURNAL = 6
    SILENCE = 7
    ROLLBACK = 8
    SINGLETON = 9
    SECRET = 10
    DEAD_RUNNER = 11
    ALPHA = 12


@dataclass(frozen=True, slots=True)
class Refusal:
    """The law that forbids an act, and the reason with its numbers."""

    law: Law
    reason: str

    def __str__(self) -> str:
        return f"law {self.law.value}: {self.reason}"


def first(*refusals: Refusal | None) -> Refusal | None:
    """The first refusal of several checks, if any refuses."""
    return next((r for r in refusals if r is not None), None)
