"""A whole run on real pods: one service under load goes across, home, and across again; nothing fails.

It is carried out by an account with the plan's roles and nothing else; the audit logs say that it used them all. On the
way across again the runner is killed with -9 twenty times.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from landbridge.clients.kinds import DEPLOYMENT, ENDPOINTSLICE, SERVICE, TRAFFICSPLIT
from landbridge.connect.adopt import is_adopted
from landbridge.lab import Lab
from landbridge.model.journal import Phase, What
from landbridge.model.look import COPIES
from landbridge.model.service import Side
from landbridge.run.agenda import Scope
from landbridge.run.status import read_status
from tests.connect.bed import growth
from tests.connect.conftest import CLOCK
from tests.run.accounts import granted
from tests.run.kills import across_with_kills
from tests.run.lab import Migration, migration  # noqa: F401 - a fixture

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("run")]


async def nothing_failed(migration: Migration, before: Mapping[str, Any]) -> None:  # noqa: F811
    found = growth(before, await migration.bed.counts(migration.legacy))
    said = [f"{event.at:.1f} {event.act} {event.kind} {event.text}" for event in migration.events]
    assert found["sent"] > 2000
    assert (found.get("failed", 0), found.get("tcp_failed", 0)) == (0, 0), "\n".join([str(found), *said])


async def test_across_home_and_across_again_without_a_failed_request(migration: Migration, lab: Lab) -> None:  # noqa: F811
    bed, legacy, eks = migration.bed, migration.legacy, migration.eks
    assert (await migration.run(Scope(last_wave=0))).error() is None
    # callers that connected before the adoption would bypass the waypoint and keep the source from shrinking
    await bed.call(legacy, rate=100)
    before = await bed.counts(legacy)
    summary = await migration.run()
    assert summary.error() is None, [event.text for event in migration.events][-20:]
    assert summary.states[bed.echo].phase is Phase.DONE
    assert (await legacy.get(DEPLOYMENT, "echo", bed.namespace))["spec"]["replicas"] == 0
    assert not await is_adopted(eks, bed.echo)
    assert await is_adopted(legacy, bed.echo)
    assert await eks.find(TRAFFICSPLIT, "echo", bed.namespace) is None
    slices = await eks.list(ENDPOINTSLICE, bed.namespace, labels="kubernetes.io/service-name=echo")
    assert not [s for s in slices if "landbridge" in s["metadata"]["name"]]

    with migration.journal() as journal:
        row = read_status(journal, migration.plan, CLOCK.now()).rows[0]
        assert (row.phase, row.weight, row.done, row.acts) == (Phase.DONE, 100, 14, 14)
        strata = {stratum for look in journal.looks(bed.echo) for stratum in look["counts"]}
        assert any(stratum.startswith(COPIES) for stratum in strata), "requests were copied before the first weight"
        assert row.n_target > 0
        assert row.back > 0
        journal.command(What.ROLLBACK, None, "ada", CLOCK.now())
    summary = await migration.run()
    assert summary.states[bed.echo].phase is Phase.ROLLED_BACK
    assert (await legacy.get(DEPLOYMENT, "echo", bed.namespace))["spec"]["replicas"] == 2
    assert await is_adopted(eks, bed.echo)
    for side, runner in zip(Side, migration.runners, strict=True):
        assert await runner.used() == granted(migration.rights[side]), side
    await nothing_failed(migration, before)

    await across_with_kills(migration, lab, 20, random.Random(7))
    assert (await eks.get(SERVICE, "echo", bed.namespace))["spec"]["selector"] == {"app": "echo"}
    await nothing_failed(migration, before)
