"""The open wave that a run keeps up to date is the one that it would find by looking at everything."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.journal import Phase, State
from landbridge.run.agenda import OpenWave, agenda, open_wave
from tests.run.world import plan

PLAN = plan(3)
SERVICES = [entry.service for entry in PLAN.waves[0].services]
ACTS = {s: [a.id for w in PLAN.waves for e in w.services if e.service == s for a in e.acts] for s in SERVICES}
steps = st.tuples(st.sampled_from(SERVICES), st.integers(0, 9), st.sampled_from(Phase), st.booleans())


@given(st.lists(steps, max_size=30))
def test_it_forgets_nothing(changes: list[tuple[object, int, Phase, bool]]) -> None:
    begun = {a.id: a for w in PLAN.waves for e in w.services for a in e.acts}
    unfinished: dict[str, str] = {act: str(service) for service, acts in ACTS.items() for act in acts}
    book = agenda(PLAN, begun, unfinished)
    states = {service: State(service=service, phase=Phase.WAITING) for service in SERVICES}
    kept, mark = OpenWave(), 0
    for service, done, phase, taken_back in changes:
        own = ACTS[service]  # type: ignore[index]
        states[service] = replace(states[service], phase=phase, done=tuple(own[:done]))  # type: ignore[index]
        kept.note(service)  # type: ignore[arg-type]
        if taken_back:  # by another service's way back: this state stays the same and is no longer true
            unfinished.pop(own[0], None)
            mark += 1
        assert kept.find(book, states, mark) == open_wave(book, states)
