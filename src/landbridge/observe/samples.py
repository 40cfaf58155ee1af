"""From raw samples to a look: what each caller's counters grew by since the samples that were counted last (pure).

Series that differ only in how requests ended belong to one group: a caller's pod and one backend, scraped at the same
moments. The cursor has the moment of the last sample counted of each group; what a sample was at that moment is asked
again, so a reset is seen in each series, and an answer that comes twice or late counts nothing. A group that was not
there before counts from zero, for its pod or its first request is new. All moments are Prometheus' own; our clock
only says for how long nothing new has come.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from itertools import pairwise
from math import inf
from statistics import median

from landbridge.clients.prometheus import Answer, Series
from landbridge.model.look import Count, Cursor, Look, NoData, Reading
from landbridge.model.mirror import mirror_name
from landbridge.model.service import Route, ServiceId, Side
from landbridge.observe.planes import Pattern, Plane

MISSED = 2.5
"""Scrape intervals without a sample after which a group no longer keeps a look waiting: its pod is gone."""

KEPT = 3600_000
"""Milliseconds for which the moment of a group that is gone is kept: it might come back."""

Group = tuple[ServiceId, Side, str, str]
"""Service, side of the backend, stratum, and the digest of all labels that say whose requests they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a Prometheus is read: `silence` in seconds without a new sample is no data, `strata` are callers' labels."""

    plane: Plane
    silence: float = 60.0
    strata: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """One service over both clusters; `newest` are the moments up to which its living groups are counted, on our
    clock.
    """

    sides: dict[str, dict[Side, Count]] = field(default_factory=dict)
    newest: list[float] = field(default_factory=list)
    restarted: bool = False


@dataclass(frozen=True, slots=True)
class Growth:
    """What one group did since it was counted last; `at` is its newest sample, `every` its scrape interval."""

    count: Count
    at: int
    every: float
    restarted: bool = False


def digest(
    routes: Sequence[Route],
    answers: Mapping[Side, Answer | str],
    cursor: Cursor,
    *,
    rules: Rules,
    names: Mapping[Side, str],
    now: float,
) -> Look:
    """The look that both clusters' answers give; a text instead of an answer says why there is none."""
    services = [route.service for route in routes]
    if problems := [f"{names[side]}: {why}" for side, why in answers.items() if isinstance(why, str)]:
        return Look(
            at=now, cursor=cursor, readings={s: NoData(service=s, reason="; ".join(problems)) for s in services}
        )
    tallies = {service: Tally() for service in services}
    following: Cursor = {}
    for side, answer in answers.items():
        if isinstance(answer, Answer):
            following |= _cluster(tallies, answer, cursor, rules=rules, side=side, names=names, now=now)
    fresh = {s: _fresh(following, cursor, names, s, now) for s in services}
    readings = {s: _reading(s, tally, now - fresh[s], rules.silence) for s, tally in tallies.items()}
    return Look(at=now, cursor=following, readings=readings)


def _cluster(
    tallies: Mapping[ServiceId, Tally],
    answer: Answer,
    cursor: Cursor,
    *,
    rules: Rules,
    side: Side,
    names: Mapping[Side, str],
    now: float,
) -> Cursor:
    """Add what one cluster's callers did; its part of the new cursor."""
    moments, asked = cursor.get(f"{names[side]} moments", {}), cursor.get(f"{names[side]} asked", {})
    groups = group(answer.series, tallies, rules, side, names)
    newest = max((series.samples[-1][0] for members in groups.values() for series in members), default=0)
    kept = {key: at for key, at in moments.items() if at > newest - KEPT}
    news = dict.fromkeys((str(service) for service in tallies), 0) | {
        key: at for key, at in asked.items() if ServiceId.parse(key) in tallies
    }
    ahead = now - answer.server - 1.0 if answer.server is not None else 0.0
    for (service, backend, stratum, key), members in groups.items():
        first = moments.get(key, 0) if str(service) in asked else None
        grown = grow(members, first, asked.get(str(service), 0) - rules.silence * 500, rules.plane)
        kept[key] = grown.at
        tally = tallies[service]
        sides = tally.sides.setdefault(stratum, {})
        sides[backend] = plus(sides.get(backend, Count()), grown.count)
        tally.restarted |= grown.restarted
        news[str(service)] = max(news[str(service)], grown.at)
        if newest - grown.at <= MISSED * grown.every:
            tally.newest.append(grown.at / 1000 + ahead)
    return {f"{names[side]} moments": kept, f"{names[side]} asked": news}


def group(
    found: Iterable[Series],
    services: Collection[ServiceId],
    rules: Rules,
    side: Side,
    names: Mapping[Side, str],
) -> dict[Group, list[Series]]:
    """The series of each group, without those of services that were not asked for."""
    plane, backends = rules.plane, backend_names(services, side, names)
    groups: dict[Group, list[Series]] = {}
    for series in found:
        labels = series.labels
        whose = backends.get((labels.get(plane.namespace, ""), labels.get(plane.backend, "")))
        if whose is None or not series.samples or bound(series, plane) is None:
            continue
        if plane.without and _has(labels, plane.without):
            continue
        same = {k: v for k, v in labels.items() if k not in {"__name__", "le", *plane.outcome}}
        key = blake2b(repr(sorted(same.items())).encode(), digest_size=9).hexdigest()
        stratum = "/".join([names[side], *(labels.get(name, "") for name in rules.strata)])
        groups.setdefault((*whose, stratum, key), []).append(series)
    return groups


def backend_names(
    services: Iterable[ServiceId], side: Side, names: Mapping[Side, str]
) -> dict[tuple[str, str], tuple[ServiceId, Side]]:
    """Which service and side a backend's (namespace, name) stands for, as callers in one cluster see it."""
    found: dict[tuple[str, str], tuple[ServiceId, Side]] = {}
    for service in services:
        space, name = service.namespace, service.name
        found[space, mirror_name(name, names[side.other])] = (service, side.other)
        found[space, f"{name}-leaf"] = found[space, name] = (service, side)
    return found


def grow(members: Sequence[Series], last: int | None, since: float, plane: Plane) -> Growth:
    """What a group did after `last`, the moment (ms) counted last; None: it is the baseline, 0: it was not there.

    A group that was not there and has samples before `since` was there after all, and not asked for: a baseline too.
    """
    moments = sorted({at for series in members for at, _ in series.samples})
    every = median(b - a for a, b in pairwise(moments)) if len(moments) > 1 else 60_000.0
    newest = moments[-1]
    unknown = last is None or (last == 0 and moments[0] < since)
    if unknown or (last and newest <= last):
        return Growth(Count(), max(newest, last or 0), every)
    assert last is not None
    start, restarted = last, False
    if last and last not in moments:  # another replica's scrapes, or a gap longer than what was asked for
        later = [at for at in moments if at > last]
        start, restarted = later[0], moments[0] > last
    n = bad = 0.0
    within: dict[float, float] = {}
    for series in members:
        more, reset = increase(series, start)
        restarted |= reset
        if series.labels["__name__"] in plane.requests:
            n += more
            bad += more if is_bad(series.labels, plane.bad) else 0.0
        else:
            edge = bound(series, plane) or 0.0
            within[edge] = within.get(edge, 0.0) + more
    everything = within.pop(inf, 0.0)
    slower = {f"{edge:g}": max(0, round(everything - fast)) for edge, fast in within.items()}
    return Growth(Count(n=round(n), bad=round(bad), buckets=slower), newest, every, restarted)


def bound(series: Series, plane: Plane) -> float | None:
    """A histogram's bound in milliseconds, 0 for a counter; None for a series that is neither."""
    name = series.labels.get("__name__")
    if name in plane.requests:
        return 0.0
    with suppress(ValueError):
        edge = float(series.labels.get("le", "")) * plane.unit
        return edge if name in plane.latency and edge > 0.0 else None
    return None


def increase(series: Series, start: int) -> tuple[float, bool]:
    """How much a counter grew after `start`, and whether it began anew; it counts from 0 where it was not there."""
    before = [value for at, value in series.samples if at == start]
    value, total, reset = (before[0] if before else 0.0), 0.0, False
    for at, following in series.samples:
        if at <= start:
            continue
        reset |= following < value
        total += following - value if following >= value else following
        value = following
    return total, reset


def is_bad(labels: Mapping[str, str], patterns: Iterable[Pattern]) -> bool:
    """Whether a series counts failures."""
    return any(_has(labels, pattern) for pattern in patterns)


def _has(labels: Mapping[str, str], pattern: Pattern) -> bool:
    return all(_whole(p).fullmatch(labels.get(k, "")) for k, p in pattern.items())


@cache
def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def plus(a: Count, b: Count) -> Count:
    """Two counts together."""
    both = {bound: a.buckets.get(bound, 0) + b.buckets.get(bound, 0) for bound in {**a.buckets, **b.buckets}}
    return Count(n=a.n + b.n, bad=a.bad + b.bad, buckets=both)


def _fresh(following: Cursor, cursor: Cursor, names: Mapping[Side, str], service: ServiceId, now: float) -> float:
    """When, on our clock, a service last had a new sample; noted in the new cursor."""
    key = str(service)
    after, before = ([c.get(f"{name} asked", {}).get(key, 0) for name in names.values()] for c in (following, cursor))
    known = cursor.get("fresh", {}).get(key)
    at = int(now * 1000) if known is None or after != before else known
    following.setdefault("fresh", {})[key] = at
    return at / 1000


def _reading(service: ServiceId, tally: Tally, silent: float, silence: float) -> Reading | NoData:
    if silent > silence:
        return NoData(service=service, reason=f"Prometheus has had no new sample for {silent:.0f} s")
    if not tally.sides:
        return NoData(service=service, reason="Prometheus knows no request to it")
    until = min(tally.newest) if tally.newest else 0.0
    return Reading(service=service, counts=tally.sides, restarted=tally.restarted, until=until)
