"""What a check is: data with one pure function, and a page in docs/checks/ made of its texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from landbridge.assess.facts import Facts
from landbridge.model.inventory import Finding, Severity


class Seen(NamedTuple):
    """What a check saw at one object; advice and severity only where they differ from the check's."""

    object: str
    message: str
    advice: str = ""
    severity: Severity | None = None


Find = Callable[[Facts], Iterator[Seen]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question to the inventory. The title says the good condition; `why` has the story or the number."""

    name: str
    title: str
    severity: Severity
    what: str
    why: str
    advice: str
    find: Find

    @property
    def page(self) -> str:
        """Where it is explained."""
        return f"docs/checks/{self.name}.md"

    def finding(self, seen: Seen, accepted: str = "") -> Finding:
        """The finding for what was seen."""
        return Finding(
            check=self.name,
            severity=seen.severity or self.severity,
            object=seen.object,
            message=seen.message,
            advice=seen.advice or self.advice,
            page=self.page,
            accepted=accepted,
        )
