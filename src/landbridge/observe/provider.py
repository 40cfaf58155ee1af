"""The port of everything that counts requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from landbridge.model.look import Cursor, Look
from landbridge.model.service import Route


class MetricsProvider(Protocol):
    """Reads all services in one go; what it needs to go on is in the cursor, which is stored with the verdict."""

    async def read(self, routes: Sequence[Route], cursor: Cursor) -> Look:
        """What happened since the cursor. Never raises for a bad reading: that is NoData."""
        ...
