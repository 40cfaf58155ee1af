"""Writes a plan as YAML for people: a stable order, one comment for each wave, forecasts beside the steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from landbridge.model.plan import Act, Bounds, Plan, ServicePlan, Wave
from landbridge.plan.forecast import counting, mistaken, quiet, ramps
from landbridge.settings.template import quote

HEAD = """\
# The plan of a migration: what `landbridge run` does, in order. Review it like code, edit it if need be.
# Every act can be undone. Ids stay the same when the plan is made again; `landbridge plan --diff` shows what changed.
# guards are the laws that are asked before an act (docs/how-it-works.md).
"""
_ABOUT = {
    "ground": "What services need around them is brought to the target: nothing serves there yet.",
    "join": "Every service is adopted on both sides with all traffic home, so moved callers find all they call.",
    "leave": "The source shrinks when nothing calls it; the target gets its Services back; schedules change sides.",
}
_MOVES = "Services move a few percent at a time; all that they call moved in an earlier wave or moves with them."
_CAMEL = {
    "alpha": "alpha",
    "beta": "beta",
    "bursts": "bursts",
    "slo": "slo",
    "slo_rolls_back": "sloRollsBack",
    "must_see": "mustSee",
    "pass_below": "passBelow",
    "on_expiry": "onExpiry",
    "lease_seconds": "leaseSeconds",
    "concurrency": "concurrency",
    "max_hold_dwells": "maxHoldDwells",
    "bake_percent": "bakePercent",
    "full_retry": "fullRetry",
}


def dump(plan: Plan) -> str:
    """The text of plan.yaml; `load` reads it back to an equal plan."""
    return HEAD + "\n".join(_plan(plan)) + "\n"


def _plan(plan: Plan) -> Iterator[str]:
    yield f"version: {plan.version}"
    yield f"source: {quote(plan.source)}"
    yield f"target: {quote(plan.target)}"
    yield f"# {counting(plan.bounds.bursts)}"
    yield f"# {mistaken(len(ramps(plan)), plan.bounds.alpha)}"
    if said := quiet(plan):
        yield f"# {said}"
    yield "bounds:"
    yield from _bounds(plan.bounds)
    yield "" if plan.waves else "waves: []"
    if plan.waves:
        yield "waves:"
    for wave in plan.waves:
        yield from _wave(wave)


def _bounds(bounds: Bounds) -> Iterator[str]:
    for name, camel in _CAMEL.items():
        value = getattr(bounds, name)
        if value is not None and value is not False:  # what nobody asked for is not said
            yield f"  {camel}: {quote(value)}"


def _wave(wave: Wave) -> Iterator[str]:
    count = f"{len(wave.services)} entries, {sum(len(entry.acts) for entry in wave.services)} acts"
    yield f"  # {_ABOUT.get(wave.name, _MOVES)} ({count})"
    yield f"  - name: {quote(wave.name)}"
    if wave.approval:
        yield "    approval: true  # waits for `landbridge approve`"
    if wave.window:
        yield f"    window: {quote(wave.window)}  # its services begin in these hours; what has begun goes on"
    yield "    services:" if wave.services else "    services: []"
    for entry in wave.services:
        yield from _entry(entry)
    yield ""


def _entry(entry: ServicePlan) -> Iterator[str]:
    yield f"      - service: {quote(str(entry.service))}"
    if entry.after:
        yield f"        after: {quote([str(service) for service in entry.after])}"
    if entry.idempotent is not None:
        yield f"        idempotent: {quote(entry.idempotent)}"
    yield "        acts:" if entry.acts else "        acts: []"
    for act in entry.acts:
        yield from _act(act)


def _act(act: Act) -> Iterator[str]:
    yield f"          - id: {quote(act.id)}"
    yield f"            kind: {act.kind.value}"
    if act.args:
        yield from _args(act.args)
    if act.guards:
        yield f"            guards: {quote(act.guards)}"
    if act.note:
        yield f"            note: {quote(act.note)}"


def _args(args: Any) -> Iterator[str]:
    if not any(isinstance(value, list | tuple | dict) for value in args.values()):
        yield f"            args: {quote(dict(args))}"
        return
    yield "            args:"
    for key, value in args.items():
        if isinstance(value, list | tuple) and len(value) > 1:
            yield f"              {quote(key)}:"
            yield from (f"                - {quote(item)}" for item in value)
        else:
            yield f"              {quote(key)}: {quote(value)}"
