"""The services of the landscape and whom each calls (pure): always the same ones, so that two runs can be compared.

A team has a namespace and owns subjects; each subject has four tiers that call downwards: `invoice-jobs` calls
`invoice-api`, that `invoice-rules`, that `invoice-store`. Neighbours and other teams are called as well, always a
lower tier, so the waves of a plan are the tiers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

TIERS = ("store", "rules", "api", "jobs")
SUBJECTS = {
    "trade": (
        *("invoice", "order", "catalogue", "quote", "receipt", "contract", "price", "discount", "bundle", "item"),
        *("auction", "sample", "rebate", "delivery", "return", "tender", "stockist", "freight", "customs", "packing"),
        *("claim", "forecast", "demand", "supply", "warranty"),
    ),
    "finance": (
        *("account", "balance", "booking", "budget", "cash", "charge", "credit", "currency", "debit", "fee"),
        *("ledger-line", "statement", "tax", "dunning", "factoring", "interest", "limit", "loan", "margin", "netting"),
        *("payout", "reserve", "risk", "settlement", "hedge"),
    ),
    "network": (
        *("address", "branch", "company", "connection", "contact", "country", "directory", "domain", "employee"),
        *("invitation", "partner", "region", "supplier", "group", "identity", "language", "licence", "member"),
        *("onboarding", "permission", "profile", "role", "session", "team", "tenant"),
    ),
    "content": (
        *("archive", "attachment", "comment", "document", "export", "import", "mail", "message", "metadata", "search"),
        *("tag", "translation", "version", "barcode", "conversion", "font", "form", "image", "label", "layout"),
        *("preview", "print", "scan", "signature", "template"),
    ),
}
COUNT = 400
"""Services of the landscape; the shop has nine more."""

PLATFORM = "platform"
"""The namespace of those that stand in the new cluster already."""

BUILT = 51
_BUILDING = (
    *("audit", "billing", "cache", "config", "events", "feature", "flow", "gate", "health", "index", "job", "key"),
    *("lock", "mesh", "notify", "queue", "route"),
)
_BLOCKS = ("reader", "writer", "admin")


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A service by namespace and name."""

    namespace: str
    name: str

    @property
    def host(self) -> str:
        """Its name as callers of any namespace write it."""
        return f"{self.name}.{self.namespace}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One service of the landscape; `tier` counts from 0, the one that calls nobody."""

    name: Name
    tier: int
    calls: tuple[Name, ...] = ()


def members(count: int = COUNT) -> tuple[Member, ...]:
    """The first `count` services, subject by subject, so that each has what it calls."""
    most = max(map(len, SUBJECTS.values()))
    places = [(space, place) for place in range(most) for space, owned in SUBJECTS.items() if place < len(owned)]
    every = [_member(space, place, tier) for space, place in places for tier in range(len(TIERS))]
    kept = every[:count]
    there = {member.name for member in kept}
    return tuple(
        Member(name=m.name, tier=m.tier, calls=tuple(callee for callee in m.calls if callee in there)) for m in kept
    )


def _member(space: str, place: int, tier: int) -> Member:
    calls: set[Name] = set()
    if tier:
        calls = {_name(space, place, tier - 1), _name(space, place - 1, tier - 1)}
        if place % 3 == 0:  # now and then somebody else's
            calls.add(_name(_next(space), place, (place // 3) % tier))
    return Member(name=_name(space, place, tier), tier=tier, calls=tuple(sorted(calls)))


def _name(space: str, place: int, tier: int) -> Name:
    subjects = SUBJECTS[space]
    return Name(space, f"{subjects[place % len(subjects)]}-{TIERS[tier]}")


def _next(space: str) -> str:
    spaces = list(SUBJECTS)
    return spaces[(spaces.index(space) + 1) % len(spaces)]


def platform() -> tuple[Name, ...]:
    """The services that were built in the new cluster."""
    return tuple(Name(PLATFORM, f"{part}-{block}") for part in _BUILDING for block in _BLOCKS)[:BUILT]


def flipped(among: Sequence[Member], count: int = 25) -> tuple[Name, ...]:
    """Services spread evenly over the lowest two tiers, which move first: they go back and forth on the way."""
    low = [member.name for member in among if member.tier < 2]
    wanted = min(count, len(low))
    return tuple(sorted({low[(number * len(low) // wanted + number) % len(low)] for number in range(wanted)}))
