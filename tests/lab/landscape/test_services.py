"""The landscape is always the same, has the numbers of the report, and its waves are its tiers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.assess import Facts, assess
from landbridge.catalog import get_catalog
from landbridge.lab.landscape import objects
from landbridge.lab.landscape.services import BUILT, COUNT, SUBJECTS, TIERS, flipped, members, platform
from landbridge.lab.shop.objects import PARTS
from landbridge.model.plan import ActKind
from landbridge.plan import make
from tests.assess.world import inventory, migration


def test_there_are_as_many_as_in_the_report() -> None:
    assert COUNT + len(PARTS) == 409
    assert len({member.name for member in members()}) == COUNT
    assert len(set(platform())) == BUILT == 51
    assert len(set(flipped(members()))) == 25


@given(st.integers(min_value=1, max_value=COUNT))
def test_every_call_goes_down_to_one_that_is_there(count: int) -> None:
    found = members(count)
    tier = {member.name: member.tier for member in found}
    assert len(found) == count
    assert all(tier[callee] < member.tier for member in found for callee in member.calls)
    assert members(count) == found


def test_waves_come_out_of_who_calls_whom() -> None:
    accepted = [{"check": "last-bake", "reason": "too quiet to decide", "date": "2026-11-21"}]
    settings = migration(namespaces=tuple(SUBJECTS), steps=[100], accepted=accepted)
    facts = Facts(inventory(objects.landscape(members())), settings)
    findings = assess(facts)
    assert {finding.check for finding in findings if finding.accepted} == {"last-bake"}
    plan = make(facts, findings, get_catalog())
    waves = {wave.name: wave for wave in plan.waves}
    moved = [[entry.service.name for entry in waves[f"wave-{n + 1}"].services] for n in range(len(TIERS))]
    for names, role in zip(moved, TIERS, strict=True):
        assert len(names) == COUNT // len(TIERS)
        assert all(name.endswith(f"-{role}") for name in names)
    acts = [act for wave in plan.waves for entry in wave.services for act in entry.acts]
    assert [act.args["percent"] for act in acts if act.kind is ActKind.WEIGHT] == [100] * COUNT
