"""A plan: waves of services, each with the acts that move it. It is data, reviewed like code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from landbridge.model.record import record
from landbridge.model.service import ServiceId


class ActKind(StrEnum):
    """What an act does; `run/acts.py` has one executor for each, with do, check and undo."""

    COPY = "copy"  # args: objects (list of "apiVersion kind namespace name"), replicas
    READY = "ready"  # wait until the target's workloads are ready and large enough
    PIN = "pin"  # HPA of the target: minimum raised; of the source: pinned
    ADOPT = "adopt"  # args: side
    EXPORT = "export"  # args: side; where Linkerd joins the clusters: mirrored in the other one, instead of adopted
    SPLIT = "split"  # create the switches with all traffic home (Router.prepare) on both sides
    HANDOVER = "handover"  # CronJobs: source suspended, Jobs waited for, lastScheduleTime carried, target opened
    SHADOW = "shadow"  # args: percent of the safe requests that is copied to the target, dwell (seconds)
    WEIGHT = "weight"  # args: percent, dwell (seconds): set on every switch, then watch for the dwell
    FINISH = "finish"  # the target is home now
    SOAK = "soak"  # args: seconds at 100 before the source may shrink
    SCALE = "scale"  # args: side, replicas
    UNADOPT = "unadopt"  # args: side; plane where there is no waypoint: only the switch goes
    UNPIN = "unpin"  # HPAs as they were


@record(frozen=True, slots=True, kw_only=True)
class Act:
    """One reversible deed; `id` is unique in the plan and stable under re-planning: `shop/web/weight-25`."""

    id: str
    kind: ActKind
    args: Mapping[str, Any] = field(default_factory=dict)
    guards: tuple[str, ...] = ()
    note: str = ""


@record(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """The acts of one service in their order; `namespace/` plans carry what no service owns (name `*`)."""

    service: ServiceId
    acts: tuple[Act, ...]
    after: tuple[ServiceId, ...] = ()
    idempotent: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Services moved together; the next wave starts when all of this one are home on the target or held."""

    name: str
    services: tuple[ServicePlan, ...]
    approval: bool = False
    window: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the run keeps to, from migration.yaml."""

    alpha: float = 0.01
    beta: float = 0.01
    bursts: str = "cap"
    slo: float | None = None
    slo_rolls_back: bool = False
    must_see: float | None = None
    pass_below: float | None = None
    on_expiry: str = "home"
    lease_seconds: float = 15.0
    concurrency: int = 8
    max_hold_dwells: int = 5
    bake_percent: int = 95
    full_retry: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done, in order; `version` is the plan format's."""

    source: str
    target: str
    waves: tuple[Wave, ...]
    bounds: Bounds = Bounds()
    version: int = 1
