"""How much work an inventory, its assessment and its plan are: counted in calls, which no busy machine changes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from landbridge.assess import Facts, assess
from landbridge.catalog import get_catalog
from landbridge.lab.shop.objects import manifests
from landbridge.model.service import Manifest
from landbridge.plan import make
from tests.assess.world import inventory, migration

CALLS = 310
"""Calls of Python and C functions an object; 281 when this was written, 494 before anybody had looked."""


def shops(count: int) -> list[Manifest]:
    places = {"postgres": "10.0.0.1", "redis": "10.0.0.1"}
    return [item for n in range(count) for item in manifests(f"shop-{n}", image="shop:1", password="x", **places)]


def effort(work: Callable[[], object]) -> int:
    """How many functions are called."""
    count = 0

    def see(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        del frame, argument
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def planned(objects: list[Manifest], count: int) -> None:
    settings = migration(
        namespaces=tuple(f"shop-{n}" for n in range(count)),
        accepted=({"check": "capacity", "reason": "a test", "date": "2026-11-21"},),
    )
    facts = Facts(inventory(objects), settings)
    findings = tuple(finding for finding in assess(facts) if finding.severity.value != "blocker")
    make(facts, findings, get_catalog())


def test_the_effort_rises_with_the_objects_and_is_small_for_each() -> None:
    planned(shops(2), 2)  # what is kept for good is made
    few, many = shops(10), shops(40)
    small, large = effort(lambda: planned(few, 10)), effort(lambda: planned(many, 40))
    assert large <= 4.2 * small
    assert large / len(many) <= CALLS
