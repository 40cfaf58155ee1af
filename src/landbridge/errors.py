"""Every way landbridge fails on purpose, with what the user is told and the exit code.

    LandbridgeError        1  something went wrong; nothing was half done
    ├── DocumentError      2  a document or an argument is wrong (every mistake at once)
    ├── BlockedError       3  a finding forbids to go on
    ├── DriftError         4  somebody else wrote what landbridge is about to write
    ├── RolledBackError    5  the judge, or a guard, took a service home
    ├── WaitingError       6  a person has to decide
    └── AccessError        7  no connection, or no permission

Only `cli/` prints these and exits. A message says what happened; `where` names the object, file or cluster;
`advice` says what to do now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    ERROR = 1
    INVALID = 2
    BLOCKED = 3
    DRIFT = 4
    ROLLED_BACK = 5
    WAITING = 6
    ACCESS = 7


class LandbridgeError(Exception):
    """The base of all errors that a user sees: what happened, where, and what to do now."""

    exit_code = Exit.ERROR

    def __init__(self, what: str, *, where: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.advice = advice

    @property
    def page(self) -> str:
        """The page in docs/errors/ that explains this class."""
        return f"docs/errors.md#{type(self).__name__.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing wrong in a document: where it stands and what would be right."""

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class DocumentError(LandbridgeError):
    """A document or an argument cannot be used; `mistakes` holds every one of them."""

    exit_code = Exit.INVALID

    def __init__(self, what: str, mistakes: Sequence[Mistake] = (), *, where: str = "", advice: str = "") -> None:
        super().__init__(what, where=where, advice=advice)
        self.mistakes = tuple(mistakes)


class BlockedError(LandbridgeError):
    """A finding forbids to go on until it is mended or accepted."""

    exit_code = Exit.BLOCKED


class DriftError(LandbridgeError):
    """An object is not as it was last seen: another writer is named where it is known."""

    exit_code = Exit.DRIFT


class RolledBackError(LandbridgeError):
    """At least one service was taken home by the judge."""

    exit_code = Exit.ROLLED_BACK


class WaitingError(LandbridgeError):
    """A person has to approve, resume or decide before the run goes on."""

    exit_code = Exit.WAITING


class AccessError(LandbridgeError):
    """A cluster cannot be reached, or refuses what has to be done."""

    exit_code = Exit.ACCESS
