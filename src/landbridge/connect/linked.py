"""Checks of the link itself: the gateway that is really dialled, the token, mirrors, loops, and what serves splits.

What agents saw is taken from their own state: a check that dials from elsewhere proves nothing about them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landbridge.clients.kinds import CRD, ENDPOINTSLICE, SECRET, SERVICE, TRAFFICSPLIT
from landbridge.clients.kubeconfig import Context
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect import crds, names
from landbridge.connect.link import decode
from landbridge.connect.slices import AGENT, WRITER
from landbridge.model.mirror import mirror_name
from landbridge.model.service import Manifest
from landbridge.translate.adoption import LEAF_OF, MIRRORED

CLUSTER = "mirror.linkerd.io/cluster-name"
ENOUGH = 24 * 3600.0  # seconds: a token that ends within a day has to be renewed now
RIGHTS = (("list", "services"), ("watch", "services"), ("watch", "endpointslices.discovery.k8s.io"))


@dataclass(frozen=True, slots=True)
class Look:
    """What the checks of one cluster look at."""

    k8s: Kubernetes
    other: Kubernetes
    namespaces: tuple[str, ...]
    agents: Mapping[str, dict[str, Any] | str]
    """`namespace/pod` to the agent's state, or to why it cannot be read."""
    places: Mapping[str, tuple[str, str]]
    """`namespace/pod` to the pod's node and role."""

    @property
    def read(self) -> Sequence[tuple[str, dict[str, Any]]]:
        """The agents that answered, with their state."""
        return [(name, state) for name, state in self.agents.items() if isinstance(state, dict)]

    @property
    def duties(self) -> Mapping[str, Any]:
        """What the leading agent is at; empty when none says that it leads."""
        return next((state.get("duties") or {} for _, state in self.read if state.get("leading")), {})


async def splits(look: Look) -> str:
    """TrafficSplit is there, in the version that we write."""
    found = await look.k8s.find(CRD, crds.NAME)
    if found is None:
        return "the CustomResourceDefinition is missing"
    served = [version["name"] for version in found["spec"]["versions"] if version.get("served")]
    wanted = TRAFFICSPLIT.api_version.rpartition("/")[2]
    return "" if wanted in served else f"{wanted} is not served, only {', '.join(served) or 'nothing'}"


async def dialled(look: Look) -> str:
    """The leading agent has got through the other gateway, with its certificate and against the live authority."""
    found = (look.duties.get("links") or {}).get(look.other.name)
    if not found or not found.get("probed") or found.get("alive"):
        return ""
    return f"{look.other.name}: {found.get('problem') or 'it does not answer'}"


async def names_resolve(look: Look) -> str:
    """Host names of the gateway have addresses."""
    return "; ".join(str(problem) for problem in (look.duties.get("names") or {}).values())


async def followed(look: Look) -> str:
    """The leading agent reads the other API server."""
    said = (look.duties.get("remotes") or {}).get(look.other.name, "followed")
    return "" if said == "followed" else f"{look.other.name}: {said}"


async def token(look: Look) -> str:
    """The link's token is known, may read what it has to, and lives on; asked at the API server that it is for."""
    secret = await look.k8s.find(SECRET, names.link_name(look.other.name), names.HOME)
    text = decode(secret, "kubeconfig")
    if not text:
        return f"there is no link to {look.other.name}"
    user = (json.loads(text).get("users") or [{}])[0].get("user") or {}
    held = str(user.get("token") or "")
    if not held:
        return ""
    ends = expiry(held)
    if ends is not None and ends - look.k8s.clock.now() < ENOUGH:
        return f"it ends in {max(0.0, ends - look.k8s.clock.now()) / 3600:.1f} h"
    context = Context(name=look.other.name, cluster=look.other.context.cluster, user={"token": held})
    with_token = Kubernetes(context, name=look.other.name, clock=look.k8s.clock)
    try:
        missing = [f"{verb} {what}" for verb, what in RIGHTS if not await with_token.can(verb, what)]
    finally:
        await with_token.close()
    return f"it may not {', '.join(missing)}" if missing else ""


def expiry(held: str) -> float | None:
    """When a ServiceAccount's token ends, in seconds since the epoch; None when it says nothing of it (pure)."""
    parts = held.split(".")
    try:
        content = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(content["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


async def mirrored(look: Look) -> str:
    """Every exported Service has its mirror."""
    skipped = look.duties.get("skipped") or {}
    return "; ".join(f"{place}: {why}" for place, why in sorted(skipped.items()))


async def mirrors(look: Look) -> str:
    """Every mirror has somebody who answers."""
    found = await look.k8s.list(SERVICE, labels=f"{MIRRORED}=true,{CLUSTER}={look.other.name}")
    slices = await look.k8s.list(ENDPOINTSLICE, labels=f"{WRITER}={AGENT}")
    return f"not answering: {', '.join(dead)}" if (dead := unanswered(found, slices)) else ""


def unanswered(mirrored: Iterable[Manifest], slices: Iterable[Manifest]) -> list[str]:
    """Mirrors without a ready endpoint, as `namespace/name` (pure)."""
    up = {
        (item["metadata"]["namespace"], (item["metadata"].get("labels") or {}).get("kubernetes.io/service-name"))
        for item in slices
        if any((endpoint.get("conditions") or {}).get("ready") for endpoint in item.get("endpoints") or ())
    }
    metas = [item["metadata"] for item in mirrored]
    return sorted(f"{m['namespace']}/{m['name']}" for m in metas if (m["namespace"], m["name"]) not in up)


async def loops(look: Look) -> str:
    """No two splits send to each other through apex Services."""
    ends = (look.k8s, look.other)
    if not all([await k8s.find(CRD, crds.NAME) for k8s in ends]):
        return ""
    here, there = [await k8s.list(TRAFFICSPLIT) for k8s in ends]
    leaves = {(item["metadata"]["namespace"], item["metadata"]["labels"][LEAF_OF]) for item in await _leaves(look.k8s)}
    found = in_circles(here, there, (look.k8s.name, look.other.name), leaves)
    return f"both sides send {', '.join(found)} to each other, and here it has no leaf" if found else ""


def in_circles(
    here: Iterable[Manifest], there: Iterable[Manifest], ends: tuple[str, str], leaves: Collection[tuple[str, str]]
) -> list[str]:
    """Services that both sides' splits send to the other side, and that have no leaf here to end at (pure).

    `ends` are the names of this and of the other cluster, `leaves` the adopted Services here by (namespace, name).
    """
    out, back = _sent(here, ends[1]), _sent(there, ends[0])
    return sorted(f"{space}/{name}" for space, name in out & back - set(leaves))


def _sent(splits: Iterable[Manifest], to: str) -> set[tuple[str, str]]:
    """The Services of which a split sends a share to a cluster."""
    found = set()
    for item in splits:
        name, backends = item["spec"]["service"].partition(".")[0], item["spec"].get("backends") or ()
        if any(each["service"] == mirror_name(name, to) and int(each.get("weight") or 0) > 0 for each in backends):
            found.add((item["metadata"]["namespace"], name))
    return found


async def _leaves(k8s: Kubernetes) -> list[Manifest]:
    return await k8s.list(SERVICE, labels=LEAF_OF)
