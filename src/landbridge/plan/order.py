"""In which wave a service moves: callees before their callers.

Any order is safe, for both sides divide every service's traffic. Callees first is better for two reasons. A request
then crosses between the clusters at most once on its way down, since everything below a service that has moved has
moved too; callers first would cross at the entry and again at the boundary. And when a service is judged, all that it
calls has already been judged, so its errors are its own. Services that call each other in a circle move together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from landbridge.model.inventory import Inventory
from landbridge.model.service import ServiceId
from landbridge.settings.migration import Migration

Graph = Mapping[ServiceId, set[ServiceId]]

STRONG = ("variable ", "command line")
"""How evidence begins that is one workload's own; a ConfigMap or policy may speak of all that share it."""


def levels(services: Iterable[ServiceId], inventory: Inventory, migration: Migration) -> dict[ServiceId, int]:
    """The wave of each service, from 0; shared evidence that only makes a circle is not followed."""
    moving = frozenset(services)
    certain, guessed = _calls(moving, inventory)
    for service in moving:
        wanted = {ServiceId.parse(name) for name in migration.service(service).after}
        certain[service] |= wanted & moving
    every = {service: certain[service] | guessed[service] for service in moving}
    group = components(every)
    circular = {service for service in moving if any(group[callee] == group[service] for callee in guessed[service])}
    if not circular:
        return _depths(every, group)
    for service in circular:
        every[service] = {c for c in every[service] if group[c] != group[service] or c in certain[service]}
    return _depths(every, components(every))


def _calls(
    moving: frozenset[ServiceId], inventory: Inventory
) -> tuple[dict[ServiceId, set[ServiceId]], dict[ServiceId, set[ServiceId]]]:
    """(certain, guessed): each service's callees by the strength of the evidence."""
    fronts: dict[object, list[ServiceId]] = defaultdict(list)
    for service in inventory.services:
        if service.id in moving:
            for ref in service.workloads:
                fronts[ref].append(service.id)
    certain: dict[ServiceId, set[ServiceId]] = {service: set() for service in moving}
    guessed: dict[ServiceId, set[ServiceId]] = {service: set() for service in moving}
    for edge in inventory.edges:
        into = certain if edge.evidence.startswith(STRONG) else guessed
        if edge.callee in moving:
            for caller in fronts.get(edge.caller, ()):
                if caller != edge.callee:
                    into[caller].add(edge.callee)
    return certain, guessed


def components(graph: Graph) -> dict[ServiceId, ServiceId]:
    """Each service's circle, named by its least member (Kosaraju, without recursion)."""
    reverse: dict[ServiceId, set[ServiceId]] = {node: set() for node in graph}
    for node, callees in graph.items():
        for callee in callees:
            reverse[callee].add(node)
    found: dict[ServiceId, ServiceId] = {}
    for root in reversed(_finished(graph)):
        if root in found:
            continue
        members, todo = [root], [root]
        found[root] = root
        while todo:
            for caller in reverse[todo.pop()]:
                if caller not in found:
                    found[caller] = root
                    members.append(caller)
                    todo.append(caller)
        least = min(members)
        found |= dict.fromkeys(members, least)
    return found


def _finished(graph: Graph) -> list[ServiceId]:
    """All services in the order in which a depth-first walk leaves them."""
    order: list[ServiceId] = []
    seen: set[ServiceId] = set()
    for start in sorted(graph):
        stack = [(start, iter(sorted(graph[start])))] if start not in seen else []
        seen.add(start)
        while stack:
            node, callees = stack[-1]
            step = next((callee for callee in callees if callee not in seen), None)
            if step is None:
                order.append(node)
                stack.pop()
            else:
                seen.add(step)
                stack.append((step, iter(sorted(graph[step]))))
    return order


def _depths(graph: Graph, group: Mapping[ServiceId, ServiceId]) -> dict[ServiceId, int]:
    """How many circles lie below each service's own, at most; everything in one circle has one depth."""
    below: dict[ServiceId, set[ServiceId]] = {name: set() for name in group.values()}
    for node, callees in graph.items():
        below[group[node]] |= {group[callee] for callee in callees} - {group[node]}
    depth: dict[ServiceId, int] = {}
    for start in sorted(below):
        stack = [start]
        while stack:
            waiting = [name for name in below[stack[-1]] if name not in depth]
            if waiting:
                stack += waiting
            else:
                name = stack.pop()
                depth[name] = max((depth[other] + 1 for other in below[name]), default=0)
    return {node: depth[group[node]] for node in graph}
