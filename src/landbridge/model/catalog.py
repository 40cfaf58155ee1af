"""What this landbridge can do, as pure data, so that settings and plans are checked without importing adapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from landbridge.model.service import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """The names in every table: routers with their limits, kinds of sources, checks, and what counts requests."""

    routers: Mapping[str, Limits] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()
