"""What in-cluster splits can declare beside weights: a side by header, and a shadow.

Both are annotations, which landbridge's own waypoints obey, and not the fields that HTTPRoute has for the like: a rule
with a header match takes the header from anybody, and TrafficSplit has none. They are in force only while the split's
run lease lives, so a dead runner turns them off, and both go with the way home, `finish` and the split itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from landbridge.model.journal import Receipt

HEADER_ROUTE = "landbridge.dev/header-route"
"""`source=web-leaf target=web-eks`: what the header x-landbridge-side means; not there: off."""
SHADOW = "landbridge.dev/shadow"
"""`web-eks=10`: so many percent of the safe requests are copied to this backend; not there: off."""

Terms = Mapping[str, str | None]
"""Annotations to write; None takes one away."""

NOTHING_MORE: Terms = {HEADER_ROUTE: None, SHADOW: None}
"""A copy that was rolled back gets nothing any more, by no way."""


class HeaderRoute(Protocol):
    """What a router can do besides, if its `Limits.header_route` says so; both are off after home and finish."""

    async def set_header(self, on: bool) -> Receipt:
        """Whether a trusted caller may choose a side by header."""
        ...

    async def set_shadow(self, percent: int) -> Receipt:
        """Copy so many percent of the safe requests to the target, at weight 0 only; 0 is off."""
        ...


def header_terms(source: str, target: str, *, on: bool) -> Terms:
    """The header route between two backends."""
    return {HEADER_ROUTE: f"source={source} target={target}" if on else None}


def shadow_terms(target: str, percent: int) -> Terms:
    """Copies to the target's backend."""
    return {SHADOW: f"{target}={percent}" if percent else None}
