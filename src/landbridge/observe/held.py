"""What waypoints still hold open to one side of a service: a weight of 0 ends no connection (waypoint.md 13.9).

Asked before a way back is called complete, for what comes next takes the pods away that these connections end in.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest, ServiceId, Side
from landbridge.observe.envoy import PORT, waypoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Connections and requests that are open to a side; waypoints that still send new ones; why it is not known."""

    open: int = 0
    sending: tuple[str, ...] = ()
    unknown: str = ""

    def __str__(self) -> str:
        said = [f"{self.open} connections are still held"] if self.open else []
        said += [f"{', '.join(self.sending)} still obeys the weight of before"] if self.sending else []
        said += [f"not every connection is known: {self.unknown}"] if self.unknown else []
        return "; ".join(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one waypoint holds, by service and side, and to whom it sends; or why it is not known."""

    name: str
    open: Mapping[tuple[ServiceId, Side], int] = field(default_factory=dict)
    sends: frozenset[tuple[ServiceId, Side]] = frozenset()
    problem: str = ""


async def held(clusters: Mapping[Side, Kubernetes], service: ServiceId, side: Side) -> Held:
    """Ask every waypoint of both clusters; never raises for one that does not answer."""
    found = await asyncio.gather(*(_ask_all(cluster, k8s, service.namespace) for cluster, k8s in clusters.items()))
    return add_up([answer for answers in found for answer in answers], service, side)


def add_up(answers: Sequence[Answer], service: ServiceId, side: Side) -> Held:
    """From answers to a sum (pure)."""
    return Held(
        open=sum(answer.open.get((service, side), 0) for answer in answers),
        sending=tuple(sorted(answer.name for answer in answers if (service, side) in answer.sends)),
        unknown="; ".join(f"{answer.name}: {answer.problem}" for answer in answers if answer.problem),
    )


def parse(name: str, cluster: Side, counters: Mapping[str, Any]) -> Answer:
    """What a waypoint of the cluster on this side says (pure); KeyError, TypeError or ValueError for another shape."""
    found: Counter[tuple[ServiceId, Side]] = Counter()
    sends: set[tuple[ServiceId, Side]] = set()
    for key, route in counters["routes"].items():
        namespace, service, _ = key.split("/")
        for backend, counts in route["backends"].items():
            which = ServiceId(namespace, service), cluster if backend == f"{service}-leaf" else cluster.other
            found[which] += int(counts["active"])
            sends |= {which} if int(route["weights"].get(backend, 0)) else set()
    return Answer(name=name, open=found, sends=frozenset(sends))


async def _ask_all(cluster: Side, k8s: Kubernetes, namespace: str) -> list[Answer]:
    try:
        pods = await waypoints(k8s, namespace)
    except LandbridgeError as error:
        return [Answer(name=k8s.name, problem=error.what)]
    return list(await asyncio.gather(*(_ask(cluster, k8s, pod) for pod in pods)))


async def _ask(cluster: Side, k8s: Kubernetes, pod: Manifest) -> Answer:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    try:
        return parse(name, cluster, json.loads(await k8s.proxy(name, namespace, PORT, "/counters")))
    except LandbridgeError as error:
        return Answer(name=name, problem=error.what)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Answer(name=name, problem=f"counters that cannot be read: {error}")
