"""Services, workloads and the switches that divide their traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from landbridge.model.record import record

Manifest = dict[str, Any]
"""A Kubernetes object as the API gives it: a plain dict, so that unknown fields survive."""


class Side(StrEnum):
    """The two ends of a migration."""

    SOURCE = "source"
    TARGET = "target"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.TARGET if self is Side.SOURCE else Side.SOURCE


@record(frozen=True, slots=True, order=True)
class ServiceId:
    """A Service that callers use, the same name on both sides: `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @classmethod
    def parse(cls, text: str) -> ServiceId:
        """Read `namespace/name`; ValueError otherwise."""
        namespace, slash, name = text.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise ValueError(f"{text!r} is not namespace/name")
        return cls(namespace, name)


@record(frozen=True, slots=True, order=True)
class ObjectRef:
    """One object in one cluster; `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> ObjectRef:
        """The reference of an object."""
        meta = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], meta.get("namespace") or "", meta["name"])


@record(frozen=True, slots=True, kw_only=True)
class Workload:
    """What runs: a Deployment, StatefulSet, DaemonSet, CronJob or a task of another platform."""

    ref: ObjectRef
    replicas: int
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""


class Protocol(StrEnum):
    """How a Service port is split: per request (HTTP, gRPC) or per connection (TCP)."""

    HTTP = "http"
    GRPC = "grpc"
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One port of a Service."""

    name: str
    port: int
    protocol: Protocol
    target: str


class Granularity(StrEnum):
    """What a router divides: single requests, connections, or answers of a name server."""

    REQUEST = "request"
    CONNECTION = "connection"
    DNS = "dns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How routers differ, as data: the plan is made within them."""

    max_percent: int = 100
    step: int = 1
    settle: float = 1.0
    granularity: Granularity = Granularity.REQUEST
    observes: bool = True
    header_route: bool = False
    chains: bool = False
    """Whether a gateway obeys such a split for what it lets in: where backends are no leaves, the splits of both sides
    chain, and two that point at each other are a loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """How data planes differ for a split, as data.

    `local` is what the local backend's name has behind the Service's; `leased` whether somebody in the cluster takes
    weights home when the run's lease has run out; `confirms` whether the cluster itself says that a split is obeyed.
    """

    name: str
    local: str
    leased: bool
    confirms: bool

    @property
    def leaves(self) -> bool:
        """Whether backends are leaves, which no split divides again."""
        return bool(self.local)


BUILTIN = Mesh(name="builtin", local="-leaf", leased=True, confirms=False)
LINKERD = Mesh(name="linkerd", local="", leased=False, confirms=True)
MESHES: Mapping[str, Mesh] = {mesh.name: mesh for mesh in (BUILTIN, LINKERD)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One object in one cluster that divides the traffic of one service."""

    service: ServiceId
    side: Side
    router: str
    ref: ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """All switches of one service, in the order in which a raise of weight writes them."""

    service: ServiceId
    switches: tuple[Switch, ...]
    granularity: Granularity = Granularity.REQUEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """The target's whole percent as the platform reports it, and what compare-and-set compares."""

    percent: int
    version: str
