"""Asks both clusters, before anything is written, whether the run may do all that its plan needs.

One question for an administrator, one a namespace for whoever has roles. What those answers do not show is asked one
by one, for they may be incomplete where something else than RBAC grants rights (EKS access policies, webhooks):
https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/self-subject-rules-review-v1/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import AccessError
from landbridge.model.plan import Act
from landbridge.model.service import ServiceId, Side
from landbridge.run.rights import Right, rights

AT_ONCE = 16
"""Questions in flight to one API server."""

RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
Granted = Sequence[Mapping[str, Any]]


async def check(
    source: Kubernetes, target: Kubernetes, acts: Iterable[tuple[ServiceId, Act]]
) -> list[tuple[str, Right]]:
    """Rights that are missing and that a run can do without, with the cluster's name.

    Raises AccessError that names every other one that is missing.
    """
    wanted = await needed(source, target, acts)
    clusters = (source, target)
    answers = await asyncio.gather(*(missing(k8s, wanted[side]) for side, k8s in zip(Side, clusters, strict=True)))
    lacking = [(k8s.name, right) for k8s, found in zip(clusters, answers, strict=True) for right in found]
    if hard := [(cluster, right) for cluster, right in lacking if not right.otherwise]:
        lines = [f"{cluster}: {right} ({right.why})" for cluster, right in hard]
        raise AccessError(
            f"rights are missing ({len(hard)}):\n  " + "\n  ".join(lines),
            where=", ".join(dict.fromkeys(cluster for cluster, _ in hard)),
            advice="have them granted: `landbridge run --roles user:NAME` prints the roles, docs/permissions.md has "
            "the table; nothing was written. `landbridge run --dry-run` needs no rights",
        )
    return lacking


async def needed(
    source: Kubernetes, target: Kubernetes, acts: Iterable[tuple[ServiceId, Act]]
) -> Mapping[Side, list[Right]]:
    """The rights of each side for these acts; asks what the clusters serve."""
    here, there = await asyncio.gather(source.kinds(), target.kinds())
    found = rights(acts, {Side.SOURCE: here, Side.TARGET: there})
    return {side: [right for right in found if right.side is side] for side in Side}


async def missing(k8s: Kubernetes, wanted: Sequence[Right]) -> list[Right]:
    """The rights that we do not have, narrowed to the verbs and names that are refused."""
    if await k8s.can("*", "*.*"):
        return []
    gate = asyncio.Semaphore(AT_ONCE)
    places = sorted({right.namespace for right in wanted} - {""})
    rules = dict(zip(places, await asyncio.gather(*(_granted(k8s, place, gate) for place in places)), strict=True))
    doubtful = [rest for right in wanted if (rest := _rest(right, rules.get(right.namespace, ())))]
    answers = await asyncio.gather(*(_refused(k8s, right, gate) for right in doubtful))
    return [right for found in answers for right in found]


async def _granted(k8s: Kubernetes, namespace: str, gate: asyncio.Semaphore) -> Granted:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    async with gate:
        answer = await k8s.request("POST", RULES, content=review)
    found: Granted = (answer.json().get("status") or {}).get("resourceRules") or ()
    return found


def _rest(right: Right, rules: Granted) -> Right | None:
    """What of a right these rules do not grant (pure)."""
    verbs = tuple(verb for verb in right.verbs if not _grants(right, verb, rules))
    return replace(right, verbs=verbs) if verbs else None


def _grants(right: Right, verb: str, rules: Granted) -> bool:
    fitting = [rule for rule in rules if _fits(rule, verb, right)]
    if any(not rule.get("resourceNames") for rule in fitting):
        return True
    return bool(right.names) and set(right.names) <= {name for rule in fitting for name in rule["resourceNames"]}


def _fits(rule: Mapping[str, Any], verb: str, right: Right) -> bool:
    _, slash, part = right.resource.partition("/")
    resources = {"*", right.resource, *([f"*/{part}"] if slash else [])}
    return bool(
        {"*", verb} & set(rule["verbs"])
        and {"*", right.group} & set(rule.get("apiGroups") or ())
        and resources & set(rule.get("resources") or ())
    )


async def _refused(k8s: Kubernetes, right: Right, gate: asyncio.Semaphore) -> list[Right]:
    """A right, verb by verb and, where it has names, name by name."""
    answers = await asyncio.gather(*(_refused_names(k8s, right, verb, gate) for verb in right.verbs))
    found: dict[tuple[str, ...], list[str]] = {}
    for verb, names in zip(right.verbs, answers, strict=True):
        if names is not None:
            found.setdefault(names, []).append(verb)
    return [replace(right, verbs=tuple(verbs), names=names) for names, verbs in found.items()]


async def _refused_names(k8s: Kubernetes, right: Right, verb: str, gate: asyncio.Semaphore) -> tuple[str, ...] | None:
    """The names for which a verb is refused, empty for all; None when it is allowed."""
    plural, _, part = right.resource.partition("/")
    resource = f"{plural}.{right.group}" if right.group else plural

    async def may(name: str = "") -> bool:
        async with gate:
            return await k8s.can(verb, resource, right.namespace, part, name=name)

    if await may():
        return None
    answers = await asyncio.gather(*(may(name) for name in right.names))
    refused = tuple(name for name, allowed in zip(right.names, answers, strict=True) if not allowed)
    return refused if refused or not right.names else None


def told(lacking: Iterable[tuple[str, Right]]) -> Iterator[tuple[ServiceId, str]]:
    """What a run that does without some rights says of it, with the namespace's own entry."""
    for cluster, right in lacking:
        yield ServiceId(right.namespace or "*", "*"), f"may not {right} of {cluster}: {right.otherwise}"
