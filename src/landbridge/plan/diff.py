"""What changed between two plans, act by act."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from landbridge.model.plan import Act, Bounds, Plan


class Kind(StrEnum):
    """How something differs."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference: an act or a bound, and in words what is other."""

    kind: Kind
    what: str
    message: str

    def __str__(self) -> str:
        sign = {Kind.ADDED: "+", Kind.REMOVED: "-", Kind.CHANGED: "~", Kind.MOVED: ">"}[self.kind]
        return f"{sign} {self.what}: {self.message}" if self.message else f"{sign} {self.what}"


def diff(old: Plan, new: Plan) -> tuple[Change, ...]:
    """All differences, in the order of the new plan, what is gone last; empty for equal plans."""
    before, after = _places(old), _places(new)
    changes = [*_ends(old, new), *_bounds(old.bounds, new.bounds), *_waves(old, new)]
    for name, (place, act) in after.items():
        if name not in before:
            changes.append(Change(kind=Kind.ADDED, what=name, message=f"{act.kind} in {place[0]}"))
            continue
        was, prior = before[name]
        if was != place:
            changes.append(Change(kind=Kind.MOVED, what=name, message=_moved(was, place)))
        if said := _changed(prior, act):
            changes.append(Change(kind=Kind.CHANGED, what=name, message=said))
    gone = [(name, place) for name, (place, _) in before.items() if name not in after]
    changes += [Change(kind=Kind.REMOVED, what=name, message=f"was in {place[0]}") for name, place in gone]
    return tuple(changes)


Place = tuple[str, tuple[str, ...]]


def _places(plan: Plan) -> dict[str, tuple[Place, Act]]:
    """Each act with its wave and the services it waits for; the order in a service counts by its predecessors."""
    return {
        act.id: ((wave.name, tuple(map(str, entry.after))), act)
        for wave in plan.waves
        for entry in wave.services
        for act in entry.acts
    }


def _moved(was: Place, now: Place) -> str:
    if was[0] != now[0]:
        return f"from {was[0]} to {now[0]}"
    return f"now after {', '.join(now[1]) or 'nothing'}, before after {', '.join(was[1]) or 'nothing'}"


def _changed(old: Act, new: Act) -> str:
    said = [f"{old.kind} is now {new.kind}"] if old.kind != new.kind else []
    for key in sorted({*old.args, *new.args}):
        was, now = old.args.get(key), new.args.get(key)
        if was != now:
            said.append(f"{key} {_short(was, now)}")
    if old.guards != new.guards:
        said.append(f"guards {_short(list(old.guards), list(new.guards))}")
    if not said and old.note != new.note:
        said.append(f"forecast: {new.note or 'none'}")
    return ", ".join(said)


def _short(was: Any, now: Any) -> str:
    if isinstance(was, list) and isinstance(now, list):
        more, less = [f"+{item}" for item in now if item not in was], [f"-{item}" for item in was if item not in now]
        return " ".join([*more, *less]) or "in another order"
    return f"{was} is now {now}"


def _ends(old: Plan, new: Plan) -> list[Change]:
    pairs = (
        ("version", old.version, new.version),
        ("source", old.source, new.source),
        ("target", old.target, new.target),
    )
    return [Change(kind=Kind.CHANGED, what=name, message=_short(a, b)) for name, a, b in pairs if a != b]


def _bounds(old: Bounds, new: Bounds) -> list[Change]:
    names = [field.name for field in fields(Bounds) if getattr(old, field.name) != getattr(new, field.name)]
    return [
        Change(kind=Kind.CHANGED, what=f"bounds.{name}", message=_short(getattr(old, name), getattr(new, name)))
        for name in names
    ]


def _waves(old: Plan, new: Plan) -> list[Change]:
    """Approvals, windows, the order of services and acts, and idempotence, where the acts themselves are the same."""
    before = {wave.name: wave for wave in old.waves}
    found = []
    for wave in new.waves:
        was = before.get(wave.name)
        if was and (was.approval, was.window) != (wave.approval, wave.window):
            message = f"approval {wave.approval}, window {wave.window or 'any'}"
            found.append(Change(kind=Kind.CHANGED, what=wave.name, message=message))
        if was and _sequence(was) != _sequence(wave) and sorted(_sequence(was)) == sorted(_sequence(wave)):
            found.append(Change(kind=Kind.CHANGED, what=wave.name, message="the same acts in another order"))
        facts = {entry.service: entry.idempotent for entry in was.services} if was else {}
        for entry in wave.services:
            if entry.service in facts and facts[entry.service] != entry.idempotent:
                message = f"idempotent {_short(facts[entry.service], entry.idempotent)}"
                found.append(Change(kind=Kind.CHANGED, what=str(entry.service), message=message))
    return found


def _sequence(wave: Any) -> list[str]:
    return [act.id for entry in wave.services for act in entry.acts]
