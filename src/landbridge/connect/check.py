"""Is the connection healthy? Checks with positive titles, read through both API servers; nothing is written.

Each check looks at what is in use, not at what was once configured: the live certificates, the agents' own state, the
addresses that are dialled.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from landbridge.clients.kinds import DEPLOYMENT, LEASE, NODE, POD, SECRET, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import parse_rfc3339
from landbridge.connect import certificates, identity, linked, linkerd_check, names
from landbridge.connect.connect import is_rolled_out, recorded, recorded_plane
from landbridge.connect.link import addresses, decode
from landbridge.connect.linked import Look
from landbridge.envoy.names import INOTIFY
from landbridge.errors import LandbridgeError
from landbridge.model.inventory import Severity
from landbridge.model.service import LINKERD

STALE = 30.0  # seconds: a watch lasts at most 20 without a sign of life
SPARE = 2 * INOTIFY["waypoint"]  # a pod that is replaced has its successor beside it, and a moved one as well
FAR_FROM_EXPIRY = 6 * 3600.0  # leaves live 24 h and are renewed at 12: below 6 h nobody renews


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check in one cluster: `title` says what should be true, `problem` is empty when it is."""

    cluster: str
    title: str
    problem: str = ""
    advice: str = ""
    severity: Severity = Severity.BLOCKER
    page: str = "docs/connection.md#landbridge-check"

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return not self.problem


Check = tuple[str, Severity, str, Callable[[Look], Awaitable[str]]]


async def check(source: Kubernetes, target: Kubernetes) -> list[Result]:
    """Every check in both clusters, in a fixed order; a check that cannot be made is a failed one."""
    pairs = ((source, target), (target, source))
    return [result for found in await asyncio.gather(*(_cluster(*pair) for pair in pairs)) for result in found]


async def _cluster(k8s: Kubernetes, other: Kubernetes) -> list[Result]:
    first = "the API server answers"
    try:
        version = await k8s.version()
    except LandbridgeError as error:
        return [Result(cluster=k8s.name, title=first, problem=error.what, advice=error.advice)]
    try:
        _, namespaces = await recorded(k8s)
        plane = await recorded_plane(k8s)
    except LandbridgeError as error:
        return [
            Result(cluster=k8s.name, title=f"{first} ({version})"),
            Result(cluster=k8s.name, title="the cluster is connected", problem=error.what, advice=error.advice),
        ]
    results = [Result(cluster=k8s.name, title=f"{first} ({version})")]
    if plane == LINKERD.name:
        return results + await _linkerd(k8s, other)
    look = Look(k8s, other, namespaces, *await _agents(k8s))
    return results + [await _run(look, item) for item in CHECKS]


async def _linkerd(k8s: Kubernetes, other: Kubernetes) -> list[Result]:
    """What only a running Linkerd could say is a warning."""
    try:
        seen = await linkerd_check.look(k8s, other)
    except LandbridgeError as error:
        problem = f"cannot be checked: {error.what}"
        return [Result(cluster=k8s.name, title="Linkerd can be asked", problem=problem, advice=error.advice)]
    results = []
    for title, severity, advice, judge in linkerd_check.CHECKS:
        problem = judge(seen)
        level = Severity.WARNING if problem.startswith(linkerd_check.UNKNOWN) else severity
        found = Result(cluster=k8s.name, title=title, problem=problem, advice=advice if problem else "", severity=level)
        results.append(found)
    return results


async def _run(look: Look, item: Check) -> Result:
    title, severity, advice, judge = item
    try:
        problem = await judge(look)
    except LandbridgeError as error:
        problem = f"cannot be checked: {error.what}"
    return Result(
        cluster=look.k8s.name, title=title, problem=problem, advice=advice if problem else "", severity=severity
    )


async def _agents(k8s: Kubernetes) -> tuple[dict[str, dict[str, Any] | str], dict[str, tuple[str, str]]]:
    pods = await k8s.list(POD, labels=f"{names.SELECT_OURS},{names.ROLE}")
    alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    metas = [pod["metadata"] for pod in alive]
    answers = await asyncio.gather(*(_state(k8s, meta["name"], meta["namespace"]) for meta in metas))
    keys = [f"{meta['namespace']}/{meta['name']}" for meta in metas]
    places = [(pod["spec"].get("nodeName") or "", pod["metadata"]["labels"][names.ROLE]) for pod in alive]
    return dict(zip(keys, answers, strict=True)), dict(zip(keys, places, strict=True))


async def _state(k8s: Kubernetes, pod: str, namespace: str) -> dict[str, Any] | str:
    try:
        found: dict[str, Any] = json.loads(await k8s.proxy(pod, namespace, names.AGENT_PORT, "/state"))
    except (LandbridgeError, ValueError) as error:
        return str(error)
    return found


async def _deployments(look: Look) -> str:
    wanted = [(names.GATEWAY, names.HOME), *((names.WAYPOINT, namespace) for namespace in look.namespaces)]
    found = [await look.k8s.find(DEPLOYMENT, *place) for place in wanted]
    late = [
        f"{namespace}/{name}"
        for (name, namespace), item in zip(wanted, found, strict=True)
        if item is None or not is_rolled_out(item)
    ]
    return f"not ready: {', '.join(late)}" if late else ""


async def _door(look: Look) -> str:
    service = await look.k8s.get(SERVICE, names.GATEWAY, names.HOME)
    secret = await look.other.find(SECRET, names.link_name(look.k8s.name), names.HOME)
    known = set(json.loads(decode(secret, "link.json") or b"{}").get("gateway") or ())
    nodes = await look.k8s.list(NODE) if service["spec"].get("type") == "NodePort" else ()
    found = set(addresses(service, nodes))
    if not known:
        return f"{look.other.name} has no link to this cluster"
    if found and not known <= found and not known & found:
        return f"{look.other.name} dials {', '.join(sorted(known))}, the Service has {', '.join(sorted(found))}"
    return ""


async def _leaves(look: Look) -> str:
    authority = certificates.read_authority(await look.k8s.get(SECRET, names.CA, names.HOME))
    now, bad = look.k8s.clock.now(), []
    for namespace, account in certificates.places(look.namespaces):
        secret = await look.k8s.find(SECRET, names.TLS, namespace)
        leaf = decode(secret, "tls.crt")
        if not leaf or identity.identities(leaf) != (identity.spiffe(look.k8s.name, namespace, account),):
            bad.append(f"{namespace}: no leaf of its identity")
        elif identity.expires(leaf) - now < FAR_FROM_EXPIRY:
            bad.append(f"{namespace}: ends in {(identity.expires(leaf) - now) / 3600:.1f} h")
        elif not any(identity.issued_by(leaf, one) for one in (authority.certificate, authority.previous) if one):
            bad.append(f"{namespace}: not issued by this cluster's authority")
    return "; ".join(bad)


async def _trust(look: Look) -> str:
    """Every leaf's CA file is the other cluster's live bundle, also after a rotation there (linkerd2#11668)."""
    theirs = certificates.read_authority(await look.other.get(SECRET, names.CA, names.HOME)).trusted
    stale = []
    for namespace, _ in certificates.places(look.namespaces):
        trusted = decode(await look.k8s.find(SECRET, names.TLS, namespace), "ca.crt")
        if not identity.alike(theirs, trusted):
            stale.append(namespace)
    return f"another bundle in {', '.join(stale)}" if stale else ""


async def _agents_answer(look: Look) -> str:
    silent = [f"{name} ({state})" for name, state in look.agents.items() if isinstance(state, str)]
    return f"no answer from {', '.join(silent)}" if silent else "" if look.agents else "there is no agent"


async def _agents_fresh(look: Look) -> str:
    old = [f"{name} {state['watch_age']:.0f} s" for name, state in look.read if state.get("watch_age", 0) > STALE]
    return f"last sign of the API server: {', '.join(old)}" if old else ""


async def _envoys_obey(look: Look) -> str:
    bad = [
        f"{name}: {'; '.join(map(str, state.get('problems') or ['not acknowledged']))}"
        for name, state in look.read
        if state.get("problems") or state.get("acknowledged") is False
    ]
    return ", ".join(bad)


async def _waypoints_agree(look: Look) -> str:
    """Two waypoints of a namespace that obey different weights are a failed share check (waypoint.md 13.10)."""
    seen: dict[str, dict[str, str]] = {}
    for name, state in look.read:
        for service, split in (state.get("splits") or {}).items():
            seen.setdefault(service, {})[name] = json.dumps(split.get("weights"), sort_keys=True)
    apart = sorted(service for service, by_pod in seen.items() if len(set(by_pod.values())) > 1)
    return f"different weights for {', '.join(apart)}" if apart else ""


async def _breakers(look: Look) -> str:
    """Circuit breakers are as wide as they go: one that says no is an alarm (waypoint.md 9)."""
    said = [f"{name}: {', '.join(sorted(state['overflows']))}" for name, state in look.read if state.get("overflows")]
    return "; ".join(said)


async def _inotify(look: Look) -> str:
    return crowded(look.places, {name: int(state.get("inotify") or 0) for name, state in look.read})


def crowded(places: Mapping[str, tuple[str, str]], limits: Mapping[str, int]) -> str:
    """Nodes on which our Envoys, who share a uid, are near the limit at which Envoy aborts (pure).

    `places` has each pod's node and role, `limits` what its agent read there (0: unknown).
    """
    used: Counter[str] = Counter()
    allowed: dict[str, int] = {}
    for pod, (node, role) in places.items():
        used[node] += INOTIFY.get(role, 0)
        if limit := limits.get(pod):
            allowed[node] = limit
    full = sorted(node for node, limit in allowed.items() if used[node] + SPARE > limit)
    return "; ".join(f"{node}: {used[node]} of {allowed[node]} inotify instances" for node in full)


async def _leader(look: Look) -> str:
    lease = await look.k8s.find(LEASE, names.AGENT, names.HOME)
    spec = (lease or {}).get("spec") or {}
    if not spec.get("holderIdentity") or not spec.get("renewTime"):
        return "nobody leads"
    age = look.k8s.clock.now() - parse_rfc3339(spec["renewTime"])
    return f"{spec['holderIdentity']} renewed {age:.0f} s ago" if age > 4 * spec["leaseDurationSeconds"] else ""


CHECKS: tuple[Check, ...] = (
    (
        "TrafficSplit is served",
        Severity.BLOCKER,
        "run `landbridge connect` again, or serve v1alpha2 where the definition is somebody else's",
        linked.splits,
    ),
    ("gateway and waypoints are ready", Severity.BLOCKER, "look at the pods' events and logs", _deployments),
    ("the other cluster dials the gateway's address", Severity.BLOCKER, "run `landbridge connect` again", _door),
    ("certificates are good for hours", Severity.BLOCKER, "look at the leading gateway agent's log", _leaves),
    ("the other cluster's authority is trusted", Severity.BLOCKER, "run `landbridge connect` again", _trust),
    ("every agent answers", Severity.WARNING, "look at the pods' events and logs", _agents_answer),
    ("every agent hears the API server", Severity.WARNING, "look at the agents' logs", _agents_fresh),
    ("every Envoy obeys what its agent wrote", Severity.BLOCKER, "look at the agent's log", _envoys_obey),
    (
        "waypoints agree about weights",
        Severity.BLOCKER,
        "wait a moment; then look at the agents' logs",
        _waypoints_agree,
    ),
    ("no circuit breaker says no", Severity.WARNING, "look at the waypoint's load; add waypoints", _breakers),
    (
        "nodes have inotify instances to spare",
        Severity.WARNING,
        "raise fs.inotify.max_user_instances on the node",
        _inotify,
    ),
    ("one agent leads", Severity.WARNING, "look at the gateway agents' logs", _leader),
    (
        "the other gateway lets our agents in, and is who it should be",
        Severity.BLOCKER,
        "look at its address and at both clusters' certificates; `landbridge connect` renews the link",
        linked.dialled,
    ),
    ("names of the other gateway resolve", Severity.WARNING, "look at the cluster's DNS", linked.names_resolve),
    ("the other API server is followed", Severity.BLOCKER, "run `landbridge connect` again", linked.followed),
    (
        "the link's token is good and may read what it has to",
        Severity.BLOCKER,
        "run `landbridge connect` again: it makes account, role and token anew",
        linked.token,
    ),
    (
        "every exported Service is mirrored",
        Severity.WARNING,
        "make the namespace or free the name, or do not export it (`connect.exclude`)",
        linked.mirrored,
    ),
    (
        "mirrored Services answer",
        Severity.WARNING,
        "look whether their pods in the other cluster are ready",
        linked.mirrors,
    ),
    (
        "no two splits send to each other",
        Severity.BLOCKER,
        "take one side's split home first (docs/connection.md#loops)",
        linked.loops,
    ),
)
