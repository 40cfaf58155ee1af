"""The one file that imports every table; what it makes of them is pure data for settings, assessment and plan."""

from __future__ import annotations

from landbridge.assess import CHECKS
from landbridge.inventory import SOURCES
from landbridge.model.catalog import Catalog
from landbridge.observe.planes import PLANES
from landbridge.observe.table import PROVIDERS
from landbridge.shift.table import ROUTERS


def get_catalog() -> Catalog:
    """Everything that this landbridge can do, by name."""
    return Catalog(
        routers={name: router.limits for name, router in ROUTERS.items()},
        sources=tuple(SOURCES),
        checks=tuple(CHECKS),
        providers=tuple(PROVIDERS),
        planes=tuple(PLANES),
    )
