"""In which wave a service moves: callees before their callers.

Any order is safe, for both sides divide every service's traffic. Callees first is better for two reasons. A request
then crosses between the clusters at most once on its way down, since everything below a service that has moved has
moved too; callers first would cross at the entry and again at the boundary. And when a service is judged, all that it
calls has already been judged, so its errors are its own. Services that call each other in a circle move together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from landbridge.model.inventory import Inventory
from landbridge.model.service import ServiceId
from landbridge.settings.migration import Migration

Node = TypeVar("Node", int, ServiceId)
Calls = list[set[int]]
"""Callees by caller, both as places in the sorted list of services: numbers hash and compare at once."""

STRONG = ("variable ", "command line")
"""How evidence begins that is one workload's own; a ConfigMap or policy may speak of all that share it."""


def levels(services: Iterable[ServiceId], inventory: Inventory, migration: Migration) -> dict[ServiceId, int]:
    """The wave of each service, from 0; shared evidence that only makes a circle is not followed."""
    moving = sorted(set(services))
    place = {service: number for number, service in enumerate(moving)}
    certain, guessed = _calls(place, inventory)
    for number, service in enumerate(moving):
        wanted = (ServiceId.parse(name) for name in migration.service(service).after)
        certain[number].update(place[other] for other in wanted if other in place)
    every = {number: certain[number] | guessed[number] for number in range(len(moving))}
    group = components(every)
    circular = [number for number in every if any(group[callee] == group[number] for callee in guessed[number])]
    for number in circular:
        every[number] = {c for c in every[number] if group[c] != group[number] or c in certain[number]}
    depths = _depths(every, components(every) if circular else group)
    return {service: depths[number] for number, service in enumerate(moving)}


def _calls(place: Mapping[ServiceId, int], inventory: Inventory) -> tuple[Calls, Calls]:
    """(certain, guessed): each service's callees by the strength of the evidence."""
    fronts: dict[object, list[int]] = defaultdict(list)
    for service in inventory.services:
        number = place.get(service.id)
        if number is not None:
            for ref in service.workloads:
                fronts[ref].append(number)
    certain: Calls = [set() for _ in place]
    guessed: Calls = [set() for _ in place]
    of: object = None
    callers: Sequence[int] = ()
    for edge in inventory.edges:
        if edge.caller is not of:  # edges are sorted by caller
            of, callers = edge.caller, fronts.get(edge.caller, ())
        callee = place.get(edge.callee) if callers else None
        if callee is not None:
            into = certain if edge.evidence.startswith(STRONG) else guessed
            for caller in callers:
                if caller != callee:
                    into[caller].add(callee)
    return certain, guessed


def components(graph: Mapping[Node, set[Node]]) -> dict[Node, Node]:
    """Each node's circle, named by its least member (Kosaraju, without recursion)."""
    reverse: dict[Node, list[Node]] = {node: [] for node in graph}
    for node, callees in graph.items():
        for callee in callees:
            reverse[callee].append(node)
    found: dict[Node, Node] = {}
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


def _finished(graph: Mapping[Node, set[Node]]) -> list[Node]:
    """All nodes in the order in which a depth-first walk leaves them."""
    order: list[Node] = []
    seen: set[Node] = set()
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


def _depths(graph: Mapping[int, set[int]], group: Mapping[int, int]) -> dict[int, int]:
    """How many circles lie below each service's own, at most; everything in one circle has one depth."""
    below: dict[int, set[int]] = {name: set() for name in group.values()}
    for node, callees in graph.items():
        below[group[node]] |= {group[callee] for callee in callees} - {group[node]}
    depth: dict[int, int] = {}
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
