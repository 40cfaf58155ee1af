"""What runs on the source, what the target offers, who calls whom and who owns what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from landbridge.model.linkerd import Linkerd
from landbridge.model.record import record
from landbridge.model.service import Manifest, ObjectRef, Port, ServiceId, Workload


@record(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service with the workloads behind it."""

    id: ServiceId
    ports: tuple[Port, ...]
    workloads: tuple[ObjectRef, ...]
    type: str = "ClusterIP"
    headless: bool = False
    selector: Mapping[str, str] = field(default_factory=dict)


@record(frozen=True, slots=True, kw_only=True)
class Edge:
    """One workload calls one service; `evidence` says where that is known from."""

    caller: ObjectRef
    callee: ServiceId
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """What a node offers, in cores and bytes."""

    name: str
    cpu: float
    memory: int
    pods: int
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Facts of one cluster: version, kinds served, nodes, classes; `served` maps `group/Kind` to versions."""

    name: str
    context: str
    version: str
    served: Mapping[str, tuple[str, ...]]
    nodes: tuple[Node, ...] = ()
    features: tuple[str, ...] = ()
    """Capabilities found, such as `networkpolicy-enforced`, `metrics-api`, `gateway-api`, `trafficsplit-crd`."""
    linkerd: Linkerd | None = None
    objects: tuple[Manifest, ...] = ()
    """The cluster's objects (Secrets without data); on the target only what checks ask for."""


@record(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who else writes an object: `helm`, `argocd`, `flux`, `hpa`, or a field manager's name."""

    ref: ObjectRef
    by: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One look at both platforms; written to inventory.json."""

    source: Platform
    target: Platform
    workloads: tuple[Workload, ...]
    services: tuple[Service, ...]
    edges: tuple[Edge, ...] = ()
    owners: tuple[Owner, ...] = ()
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


class Severity(StrEnum):
    """How much a finding matters: a blocker stops the plan, a warning wants a look, a note is to be known."""

    BLOCKER = "blocker"
    WARNING = "warning"
    NOTE = "note"


@record(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of a check about one object; `accepted` is the reason given in migration.yaml, if any."""

    check: str
    severity: Severity
    object: str
    message: str
    advice: str
    page: str
    accepted: str = ""
