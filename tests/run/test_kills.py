"""Twenty runs, in each of which the runner is killed with -9 once, at another moment."""

from __future__ import annotations

import random

import pytest

from landbridge.lab import Lab
from landbridge.run.agenda import Scope
from tests.connect.bed import growth
from tests.run.kills import across_with_kills
from tests.run.lab import Migration, migration  # noqa: F401 - a fixture

pytestmark = [pytest.mark.lab, pytest.mark.soak]


@pytest.mark.parametrize("seed", range(20))
async def test_one_kill_in_each_of_twenty_runs(migration: Migration, lab: Lab, seed: int) -> None:  # noqa: F811
    bed, legacy = migration.bed, migration.legacy
    assert (await migration.run(Scope(last_wave=0))).error() is None
    await bed.call(legacy, rate=100)
    before = await bed.counts(legacy)
    await across_with_kills(migration, lab, 1, random.Random(seed))
    found = growth(before, await bed.counts(legacy))
    assert (found.get("failed", 0), found.get("tcp_failed", 0)) == (0, 0), str(found)
