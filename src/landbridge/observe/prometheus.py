"""Counters of a data plane that the user has, from the Prometheus that scrapes it: one query a cluster for everything.

Prometheus scrapes every so many seconds, so looks in between bring nothing new, and a reading says up to which moment
it has counted (`until`): what is older than a weight is not judged at it. One replica has to be named, not a pair
behind one address: each scrapes at moments of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from landbridge.clients.prometheus import Answer, Prometheus
from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.model.look import Cursor, Look, NoData, Reading
from landbridge.model.service import Route, ServiceId, Side
from landbridge.observe.planes import Plane
from landbridge.observe.samples import Rules, backend_names, digest

LONGEST = 3600.0
"""Seconds that are asked for at most after a pause of our own."""


class PrometheusProvider:
    """Reads both clusters' Prometheus; `matchers` pick a cluster's series out of a Prometheus that both share."""

    def __init__(
        self,
        clients: Mapping[Side, Prometheus],
        names: Mapping[Side, str],
        clock: Clock,
        *,
        rules: Rules,
        matchers: Mapping[Side, Mapping[str, str]],
        every: float = 5.0,
    ) -> None:
        self._clients = clients
        self._names = names
        self._clock = clock
        self._rules = rules
        self._matchers = matchers
        self._every = every
        self._last: Look | None = None

    async def read(self, routes: Sequence[Route], cursor: Cursor) -> Look:
        """What was scraped since the cursor; between two questions, nothing new."""
        now = self._clock.now()
        last = self._last
        known = last is not None and all(route.service in last.readings for route in routes)
        if last is not None and known and 0 <= now - last.at < self._every:
            return Look(at=now, cursor=cursor, readings={r.service: _nothing_new(last, r.service) for r in routes})
        asked = [self._ask(side, routes, self._seconds(cursor, now)) for side in Side]
        answers = dict(zip(Side, await asyncio.gather(*asked), strict=True))
        look = digest(routes, answers, cursor, rules=self._rules, names=self._names, now=self._clock.now())
        self._last = look
        return look

    async def _ask(self, side: Side, routes: Sequence[Route], seconds: float) -> Answer | str:
        services = [route.service for route in routes]
        query = selector(self._rules.plane, services, side, self._names, self._matchers.get(side, {}))
        try:
            return await self._clients[side].samples(query, seconds)
        except LandbridgeError as error:
            return error.what

    def _seconds(self, cursor: Cursor, now: float) -> float:
        """Back to what was counted last, and one silence more, by which new series are told from old ones."""
        fresh = cursor.get("fresh", {}).values()
        since = max(0.0, now - max(fresh) / 1000) if fresh else 0.0
        return min(since, LONGEST) + self._rules.silence


def _nothing_new(last: Look, service: ServiceId) -> Reading | NoData:
    reading = last.readings[service]
    return replace(reading, counts={}, restarted=False) if isinstance(reading, Reading) else reading


def selector(
    plane: Plane,
    services: Iterable[ServiceId],
    side: Side,
    names: Mapping[Side, str],
    matchers: Mapping[str, str],
) -> str:
    """The one selector that names the counters and the histograms of all services."""
    pairs = sorted(backend_names(services, side, names))
    bounds = "|".join(re.escape(f"{bound:g}") + r"(\.0)?" for bound in plane.bounds)
    wanted = {
        "__name__": "|".join((*plane.requests, *plane.latency)),
        "le": rf"|\+Inf|{bounds}",  # counters have no bound
        plane.namespace: "|".join(sorted({space for space, _ in pairs})),
        plane.backend: "|".join(name for _, name in pairs),
        **plane.where,
    }
    parts = [f"{label}=~{quoted(pattern)}" for label, pattern in wanted.items()]
    parts += [f"{label}={quoted(value)}" for label, value in matchers.items()]
    return "{" + ",".join(parts) + "}"


def quoted(text: str) -> str:
    """A string of PromQL."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
