"""The model of migration.yaml. Names in the file are camelCase, as in Kubernetes; here they are Python's.

`docs/migration-yaml.md` is rendered from these fields.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from landbridge.judge.bursts import Bursts
from landbridge.model.service import ServiceId
from landbridge.settings.base import Label, Settings
from landbridge.settings.connection import Connection
from landbridge.settings.judging import Asked, Guard, Metrics, Shadow
from landbridge.settings.values import DEFAULT_STEPS, Duration, Hours, Id, Spoken, Steps, read_duration


class Cluster(Settings):
    """One end of the migration."""

    name: Label = Field(description="short name; mirrors are called `SERVICE-NAME`")
    kind: str = Field("kubernetes", description="kind of platform")
    context: str = Field(min_length=1, description="context in the kubeconfig")
    kubeconfig: str = Field("", description="kubeconfig file; empty means $KUBECONFIG or ~/.kube/config")


class OnExpiry(StrEnum):
    """What a split does when the run's lease has run out."""

    HOME = "home"
    STAY = "stay"


class Retries(StrEnum):
    """Which failed requests the waypoint sends again."""

    SAFE = "safe"
    FULL = "full"


class Lease(Settings):
    """The run's lease, and what its expiry does."""

    on_expiry: OnExpiry = Field(OnExpiry.HOME, description="home: all traffic goes home; stay: the weight stays")
    seconds: Annotated[float, BeforeValidator(read_duration), Field(ge=5, le=300)] = Field(
        15, description="how long the lease lives without its runner"
    )


class Accepted(Settings):
    """A finding that people have looked at and take as it is."""

    check: str = Field(description="name of the check")
    object: str = Field("*", description="the object as the assessment writes it; * and ? match")
    reason: str = Field(min_length=3, description="why this is fine")
    date: dt.date = Field(description="when that was decided, as 2026-11-21")

    def covers(self, check: str, subject: str) -> bool:
        """Whether it speaks of this finding."""
        return check == self.check and fnmatchcase(subject, self.object)


class JsonPatch(Settings):
    """One operation of JSON Patch (RFC 6902)."""

    op: Literal["add", "remove", "replace", "move", "copy", "test"] = Field(description="what to do")
    path: str = Field(pattern=r"^(/.*)?$", description="JSON pointer to the place")
    value: Any = Field(None, description="for add, replace and test")
    from_: str = Field("", alias="from", description="for move and copy")


class ObjectPatch(Settings):
    """Changes to objects of one kind while they are copied."""

    kind: str = Field(description="kind of the objects")
    name: str = Field("*", description="their name; * and ? match")
    namespace: str = Field("*", description="their namespace; * and ? match")
    patch: tuple[JsonPatch, ...] = Field(description="operations, in order")


class CopyRules(Settings):
    """How objects change on their way to the target, beyond the rules of docs/copy.md."""

    images: dict[str, str] = Field({}, description="image prefix on the source: prefix on the target")
    finalizers: tuple[str, ...] = Field((), description="finalizers to keep; all others are dropped")
    exclude: tuple[str, ...] = Field((), description="objects left out, as `ConfigMap shop/flags`; * and ? match")
    patches: tuple[ObjectPatch, ...] = Field((), description="changes by kind and name")

    def excludes(self, subject: str) -> bool:
        """Whether the object `Kind namespace/name` stays behind."""
        return any(fnmatchcase(subject, pattern) for pattern in self.exclude)


class Policies(StrEnum):
    """What becomes of NetworkPolicies that one waypoint for a whole namespace would widen."""

    BLOCK = "block"
    ENFORCE = "enforce"


class Plane(StrEnum):
    """What joins the clusters and divides traffic."""

    AUTO = "auto"
    LINKERD = "linkerd"
    BUILTIN = "builtin"


class DataPlane(Settings):
    """What carries traffic between the clusters, and the programs that landbridge puts there."""

    plane: Plane = Field(
        Plane.AUTO,
        description="builtin: waypoints and gateways of ours; linkerd: what the clusters have; auto: see there",
    )
    image: str = Field("", description="image of the agent; empty means the one of this version")
    envoy_image: str = Field("", description="image of Envoy; empty means the agent's image, which has one")
    waypoints: int = Field(2, ge=1, le=20, description="waypoint pods in each namespace")
    gateways: int = Field(2, ge=1, le=20, description="gateway pods in each cluster")
    workers: int = Field(2, ge=1, le=64, description="threads of each Envoy; a request costs a quarter less on one")
    policies: Policies = Field(
        Policies.BLOCK,
        description="NetworkPolicies that one waypoint for a namespace would widen: block the plan, or enforce them in "
        "waypoints, whose agents then read policies, pods and namespaces",
    )
    cpu: str = Field(
        "100m",
        pattern=r"^[0-9]+m?$",
        description="what the Envoy of each waypoint, and the agent of a gateway, requests of its node, in cores",
    )
    gateway_cpu: str = Field(
        "200m",
        pattern=r"^[0-9]+m?$",
        description="what the Envoy of each gateway requests: all that crosses passes there; 400 services need 500m",
    )


class ServiceSettings(Settings):
    """What differs for one service; what is left out is as above."""

    skip: bool = Field(default=False, description="leave this service where it is")
    steps: Steps | None = Field(None, description="weights in percent")
    dwell: Duration | None = Field(None, description="time at each weight")
    soak: Duration | None = Field(None, description="time at 100 before the source may shrink")
    shadow: Shadow | None = Field(None, description="copies before the first weight")
    protocols: dict[str, Spoken] = Field({}, description="port name or number: http, grpc or tcp")
    idempotent: bool | None = Field(None, description="whether a request may be executed twice; unknown counts as no")
    retries: Retries = Field(Retries.SAFE, description="safe: only what cannot have been executed; full: also 5xx")
    request_rate: float | None = Field(None, gt=0, description="requests a second, for the plan's forecasts")
    pools: dict[str, int] = Field({}, description="data store: connections that each pod may open to it")
    after: tuple[Id, ...] = Field((), description="services that move before this one, as namespace/name")


class WorkerSettings(Settings):
    """What differs for a workload behind no service: a consumer, a scheduler."""

    idempotent: bool | None = Field(None, description="true: it may run on both sides at once; else never twice")
    skip: bool = Field(default=False, description="leave it where it is")


class Store(Settings):
    """A data store that both sides share."""

    max_connections: int = Field(gt=0, description="connections that it accepts")
    used_by_others: int = Field(0, ge=0, description="connections of programs that do not move")


class Migration(Settings):
    """The whole of migration.yaml."""

    version: Literal[1] = Field(1, description="version of this format")
    source: Cluster = Field(description="where the services run now")
    target: Cluster = Field(description="where they go")
    namespaces: tuple[Label, ...] = Field(min_length=1, description="namespaces that move")
    router: str = Field("auto", description="how traffic is divided; auto takes what the clusters have")
    steps: Steps = Field(DEFAULT_STEPS, description="weights in percent, for all services")
    dwell: Duration = Field(300.0, description="time at each weight")
    max_dwell: Duration = Field(
        3600.0,
        description="up to this a step is stretched, where the rate is known, until it sees ten times the errors",
    )
    soak: Duration = Field(3600.0, description="time at 100 before the source may shrink")
    shadow: Shadow = Field(
        Shadow(percent=0),
        description="copies before the first weight; off unless asked for: a GET that does something does it twice",
    )
    alpha: float = Field(0.01, gt=0, lt=0.5, description="how often a healthy service may be rolled back at most")
    beta: float = Field(0.01, gt=0, lt=0.5, description="how often a broken one may be missed, for forecasts")
    bursts: Bursts = Field(
        Bursts.CAP, description="what counts as one failure: request, session or cap (docs/judge.md)"
    )
    judge: Asked = Field(Asked(), description="what else is asked of a step; nothing unless set")
    concurrency: int = Field(8, ge=1, le=1000, description="services that move at the same time")
    max_hold_dwells: int = Field(5, ge=1, le=100, description="dwells in hold after which a person is asked")
    approve: tuple[str, ...] = Field((), description="waves that wait for `landbridge approve`, as leave or wave-2")
    windows: dict[str, Hours] = Field(
        {}, description="hours in which services of a wave may begin, as `wave-1: Mon-Thu 09:00-16:00 Europe/Berlin`"
    )
    lease: Lease = Field(Lease(), description="the run's lease")
    data_plane: DataPlane = Field(DataPlane(), description="what carries traffic, and programs put into the clusters")
    connect: Connection = Field(Connection(), description="how the clusters are joined")
    copy_: CopyRules = Field(CopyRules(), alias="copy", description="how objects change when they are copied")
    metrics: Metrics = Field(Metrics(), description="what counts the requests that are judged")
    guards: dict[Label, Guard] = Field({}, description="what else has to be well, by a name of your own")
    services: dict[Id, ServiceSettings] = Field({}, description="what differs, by namespace/name")
    workers: dict[Id, WorkerSettings] = Field({}, description="workloads behind no service, by namespace/name")
    stores: dict[str, Store] = Field({}, description="data stores that both sides share, by name")
    accepted: tuple[Accepted, ...] = Field((), description="findings taken as they are")

    @model_validator(mode="after")
    def _ends_differ(self) -> Migration:
        if self.source.name == self.target.name:
            raise ValueError("source and target need different names")
        same_place = (self.source.context, self.source.kubeconfig) == (self.target.context, self.target.kubeconfig)
        if same_place:
            raise ValueError("source and target are the same context")
        for name in sorted(self.connect.gateways.keys() | self.connect.api_servers.keys()):
            if name not in (self.source.name, self.target.name):
                raise ValueError(f"connect names {name}, which is neither {self.source.name} nor {self.target.name}")
        return self

    @model_validator(mode="after")
    def _copies_are_counted(self) -> Migration:
        own = [service.shadow for service in self.services.values() if service.shadow]
        if self.metrics.provider != "envoy" and any(shadow.percent for shadow in (self.shadow, *own)):
            raise ValueError("a shadow needs metrics.provider envoy: only landbridge's waypoints copy and count copies")
        return self

    @model_validator(mode="after")
    def _guards_can_ask(self) -> Migration:
        for name, guard in self.guards.items():
            if (self.metrics.source if guard.on == "source" else self.metrics.target) is None:
                raise ValueError(f"guard {name} asks the {guard.on}'s Prometheus: metrics.{guard.on} needs its url")
        return self

    def service(self, service: ServiceId) -> ServiceSettings:
        """What differs for a service; the defaults where nothing does."""
        return self.services.get(str(service), NOTHING) if self.services else NOTHING

    def steps_of(self, service: ServiceId) -> tuple[int, ...]:
        """The weights of a service in percent."""
        return self.service(service).steps or self.steps

    def dwell_of(self, service: ServiceId) -> float:
        """Seconds at each weight of a service."""
        own = self.service(service).dwell
        return self.dwell if own is None else own

    def shadow_of(self, service: ServiceId) -> Shadow:
        """The copies of a service's requests before its first weight."""
        return self.service(service).shadow or self.shadow

    def soak_of(self, service: ServiceId) -> float:
        """Seconds at 100 before the source of a service may shrink."""
        own = self.service(service).soak
        return self.soak if own is None else own

    def reason(self, check: str, subject: str) -> str:
        """Why a finding is accepted, with the date; empty when it is not."""
        for entry in self.accepted:
            if entry.covers(check, subject):
                return f"{entry.reason} ({entry.date.isoformat()})"
        return ""


NOTHING = ServiceSettings()


def full_retry(migration: Migration) -> Iterable[str]:
    """The services whose owners want full retries."""
    return (name for name, service in migration.services.items() if service.retries is Retries.FULL)
