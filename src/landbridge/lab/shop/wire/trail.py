"""Which copies of which services took part in an answer, carried back to the first caller.

Headers (trailing metadata in gRPC):
`x-served-by: eks`, the cluster of the copy that answers;
`x-served-chain: web@eks,cart@legacy,stock@eks`, this copy first and then everything it called, as the answers came;
`x-broken-copy: payments@eks`, the copy that failed on purpose (see `fault`), passed on up the chain;
`x-failed-call: ledger: refused`, what went wrong below when nobody meant it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SERVED_BY = "x-served-by"
CHAIN = "x-served-chain"
BROKEN = "x-broken-copy"
FAILED = "x-failed-call"
RETRIED = "x-retried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One service's copies in one cluster."""

    service: str
    cluster: str

    def __str__(self) -> str:
        return f"{self.service}@{self.cluster}"


@dataclass(slots=True, kw_only=True)
class Trail:
    """What one answer will say about where it came from; grows as calls come back."""

    place: Place
    called: list[str] = field(default_factory=list)
    broken: str | None = None
    retried: list[str] = field(default_factory=list)

    def follow(self, headers: Mapping[str, str]) -> None:
        """Add what the answer of a called service says."""
        if chain := headers.get(CHAIN):
            self.called.append(chain)
        if broken := headers.get(BROKEN):
            self.broken = broken
        if retried := headers.get(RETRIED):
            self.retried.append(retried)

    def headers(self) -> dict[str, str]:
        """The headers of the answer to our own caller."""
        said = {SERVED_BY: self.place.cluster, CHAIN: ",".join([str(self.place), *self.called])}
        if self.broken:
            said[BROKEN] = self.broken
        if self.retried:
            said[RETRIED] = ",".join(self.retried)
        return said


class CallError(Exception):
    """A call to another service failed; `status` is what our own caller gets, `reason` says why."""

    def __init__(self, service: str, reason: str, *, status: int = 502) -> None:
        super().__init__(f"{service}: {reason}")
        self.status = status
