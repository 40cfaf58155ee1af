"""Who still calls services in one cluster: what its waypoints counted between two readings, and what they hold open.

Only a count that is whole says that nobody calls: a waypoint that cannot be read, or was replaced meanwhile, leaves it
unknown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest, ServiceId
from landbridge.observe.envoy import PORT, SAME_START, waypoints


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One waypoint: requests and connections it has counted since its start, and connections open now."""

    namespace: str
    name: str
    start: float = 0.0
    total: Mapping[ServiceId, int] = field(default_factory=dict)
    open: Mapping[ServiceId, int] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """Requests between two readings and connections open at the second; `unknown` says why they are not known."""

    requests: int = 0
    open: int = 0
    unknown: str = ""


async def read(k8s: Kubernetes, namespaces: Collection[str]) -> dict[str, Pod]:
    """Every waypoint of some namespaces by its uid; raises AccessError when the cluster cannot be read at all."""
    listed = await asyncio.gather(*(waypoints(k8s, namespace) for namespace in sorted(namespaces)))
    pods = [pod for found in listed for pod in found]
    answers = await asyncio.gather(*(_ask(k8s, pod) for pod in pods))
    return {pod["metadata"]["uid"]: answer for pod, answer in zip(pods, answers, strict=True)}


async def _ask(k8s: Kubernetes, pod: Manifest) -> Pod:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    try:
        pages = [json.loads(await k8s.proxy(name, namespace, PORT, path)) for path in ("/counters", "/state")]
        return parse(name, namespace, *pages)
    except LandbridgeError as error:
        return Pod(namespace=namespace, name=name, problem=error.what)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Pod(namespace=namespace, name=name, problem=f"counters that cannot be read: {error}")


def parse(name: str, namespace: str, counters: Mapping[str, Any], state: Mapping[str, Any]) -> Pod:
    """What a waypoint's two pages say (pure); KeyError, TypeError or ValueError for pages of another shape."""
    total: dict[ServiceId, int] = {}
    for key, route in counters["routes"].items():
        service = _service(key)
        sides = (*route["backends"].values(), route.get("nobody") or {"total": 0})
        total[service] = total.get(service, 0) + sum(int(side["total"]) for side in sides)
    if total and not state["connections"]:
        raise ValueError("its Envoy does not say which connections it holds")
    held: dict[ServiceId, int] = dict.fromkeys(total, 0)
    for key, port in state["active"].items():
        service = _service(key)
        held[service] = held.get(service, 0) + int(state["connections"].get(str(port), 0))
    return Pod(namespace=namespace, name=name, start=float(counters["envoy_start"]), total=total, open=held)


def _service(key: str) -> ServiceId:
    namespace, name, _ = key.split("/")
    return ServiceId(namespace, name)


def callers(before: Mapping[str, Pod], after: Mapping[str, Pod], service: ServiceId) -> Callers:
    """What reached one service between two readings (pure)."""
    then = {uid: pod for uid, pod in before.items() if pod.namespace == service.namespace}
    now = {uid: pod for uid, pod in after.items() if pod.namespace == service.namespace}
    if why := _unknown(then, now, service):
        return Callers(unknown=why)
    requests = sum(pod.total[service] - then[uid].total[service] for uid, pod in now.items())
    return Callers(requests=requests, open=sum(pod.open[service] for pod in now.values()))


def _unknown(then: Mapping[str, Pod], now: Mapping[str, Pod], service: ServiceId) -> str:
    if not now:
        return "no waypoint is running"
    problems = [f"{pod.name}: {pod.problem}" for pod in (*then.values(), *now.values()) if pod.problem]
    if problems:
        return problems[0]
    if then.keys() != now.keys():
        return "a waypoint came or went meanwhile"
    for uid, pod in now.items():
        if abs(pod.start - then[uid].start) * 1000 > SAME_START:
            return f"{pod.name} was started again meanwhile"
        if service not in pod.total or service not in then[uid].total:
            return f"{pod.name} does not know this service"
        if pod.total[service] < then[uid].total[service]:
            return f"{pod.name} counts from the start again"
    return ""
