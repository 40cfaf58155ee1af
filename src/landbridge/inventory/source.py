"""The port of one old platform."""

from __future__ import annotations

from typing import Protocol

from landbridge.model.inventory import Inventory
from landbridge.model.journal import Receipt
from landbridge.model.service import Workload


class Source(Protocol):
    """One old platform, read beside its target."""

    async def collect(self) -> Inventory:
        """Everything there is, in one pass. Raises AccessError where a permission is missing that nothing replaces."""
        ...

    async def scale(self, workload: Workload, replicas: int) -> Receipt:
        """Set the size of a workload; the receipt holds the exact prior one."""
        ...
