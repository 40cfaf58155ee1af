"""What kinds of acts need in the clusters, row by row (pure); docs/permissions.md is the same table.

`run/rights.py` says what a plan's acts come to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from landbridge.clients.kinds import (
    CLUSTERROLE,
    DAEMONSET,
    DEPLOYMENT,
    ENDPOINTS,
    ENDPOINTSLICE,
    HPA,
    JOB,
    LEASE,
    NAMESPACE,
    POD,
    ROLE,
    SERVICE,
    SERVICEPROFILE,
    STATEFULSET,
    TRAFFICSPLIT,
    Kind,
)
from landbridge.connect import names
from landbridge.connect.adopt import NEIGHBOURS
from landbridge.model.plan import ActKind
from landbridge.model.service import Side

BOTH = tuple(Side)
UNKNOWN = "nobody knows who passes the waypoint by, so a person has to approve that the source shrinks"
OWN: tuple[Side, ...] = ()
"""The side that the act names."""


class Need(StrEnum):
    """What several acts have to do alike; the value names the acts."""

    RUN = "every run"
    COPY = "copy"
    COPY_ROLE = "copy of roles"
    COPY_BINDING = "copy of bindings"
    READY = "ready"
    PIN = "pin, unpin"
    ADOPT = "adopt, unadopt"
    PART = "unadopt"
    SEEN = "export (Linkerd)"
    EXPORT = "export"
    SWITCH = "split, shadow, weight, finish, soak, unadopt"
    BEHIND = "shadow, weight, pin, unpin, soak"
    WATCH = "shadow, weight"
    SCALE = "scale"
    SHRINK = "scale of a service's source"
    HANDOVER = "handover"
    FIND = "pin without objects"


class On(StrEnum):
    """Resources that depend on the plan or on the cluster."""

    OBJECTS = "the objects that the act names"
    SWITCH = "trafficsplits.split.smi-spec.io, httproutes.gateway.networking.k8s.io, or what the split names"
    NEIGHBOURS = ", ".join(kind.resource for kind in NEIGHBOURS)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: verbs on resources in the namespace of the act's service; `otherwise` says how a run does without."""

    may: tuple[str, ...]
    on: tuple[Kind, ...] | On
    why: str
    part: str = ""
    side: Side | None = None
    home: bool = False
    """In the namespace `landbridge`."""
    names: tuple[str, ...] = ()
    otherwise: str = ""


RULES: Mapping[Need, tuple[Rule, ...]] = {
    Need.RUN: (
        Rule(("create",), (LEASE,), "the run lease, the first time", home=True),
        Rule(("get", "patch"), (LEASE,), "hold the run lease and renew it", home=True, names=(names.RUN,)),
    ),
    Need.COPY: (
        Rule(("get",), On.OBJECTS, "what is copied", side=Side.SOURCE),
        Rule(("get", "create", "patch"), On.OBJECTS, "the copy, in a dry run first", side=Side.TARGET),
    ),
    Need.COPY_ROLE: (
        Rule(
            ("escalate",),
            On.OBJECTS,
            "nobody grants what they do not hold",
            otherwise="the copy is refused, unless you hold every right that the role grants",
        ),
    ),
    Need.COPY_BINDING: (Rule(("bind",), (ROLE, CLUSTERROLE), "nobody binds a role that they do not hold"),),
    Need.READY: (Rule(("get",), On.OBJECTS, "whether enough replicas are ready"),),
    Need.PIN: (Rule(("get", "patch"), On.OBJECTS, "the bounds of an autoscaler"),),
    Need.FIND: (Rule(("list",), (HPA,), "which autoscalers there are"),),
    Need.ADOPT: (
        Rule(("get",), (NAMESPACE,), "whether a mesh injects its proxies there"),
        Rule(("list",), On.NEIGHBOURS, "whether somebody dials the pods or switches the Service (where served)"),
        Rule(("get", "create", "patch"), (SERVICE,), "the leaf; selector and labels of the apex"),
        Rule(("list",), (POD,), "which waypoints are ready"),
        Rule(("get", "delete"), (ENDPOINTS,), "waypoints in place of endpoints"),
        Rule(("list", "delete"), (ENDPOINTSLICE,), "waypoints in place of pods"),
    ),
    Need.EXPORT: (
        Rule(("get", "create", "patch", "delete"), (SERVICE,), "the export label; on the target the Service itself"),
    ),
    Need.SEEN: (
        Rule(("get",), (SERVICE,), "the mirror"),
        Rule(("get",), (SERVICEPROFILE,), "whether the adaptor has obeyed a TrafficSplit"),
    ),
    Need.PART: (
        Rule(("delete",), (SERVICE,), "the leaf"),
        Rule(("delete",), On.SWITCH, "the split, for nobody would obey it"),
        Rule(("list",), (TRAFFICSPLIT,), "none may be left when the waypoint goes"),
    ),
    Need.SWITCH: (Rule(("get", "create", "patch"), On.SWITCH, "the weights"),),
    Need.BEHIND: (
        Rule(("get",), (SERVICE,), "the selector of its pods"),
        Rule(("list",), (DEPLOYMENT, STATEFULSET, DAEMONSET), "replicas and templates of what is behind it"),
    ),
    Need.WATCH: (
        Rule(("list",), (SERVICE,), "whether its owner has changed it"),
        Rule(("list",), (ENDPOINTSLICE,), "whether the other cluster's gateway answers"),
        Rule(("list",), (POD,), "the waypoints"),
        Rule(("get",), (POD,), "their counters, each second", part="proxy"),
    ),
    Need.SCALE: (
        Rule(("get",), On.OBJECTS, "their replicas"),
        Rule(("patch",), On.OBJECTS, "set their replicas", part="scale"),
    ),
    Need.SHRINK: (
        Rule(("get",), (SERVICE,), "the leaf"),
        Rule(("list",), (ENDPOINTSLICE,), "its pods"),
        Rule(("get", "list"), (POD,), "who is connected to them past the waypoints"),
        Rule(("list",), (POD,), "the gateways, which may be connected to them", home=True),
        Rule(
            ("patch",),
            (POD,),
            "count connections that pass the waypoint by",
            part="ephemeralcontainers",
            otherwise=UNKNOWN,
        ),
        Rule(
            ("get",),
            (POD,),
            "read that count",
            part="log",
            otherwise=UNKNOWN,
        ),
    ),
    Need.HANDOVER: (
        Rule(("get", "patch"), On.OBJECTS, "close one side, open the other"),
        Rule(("patch",), On.OBJECTS, "carry the time of the last run over", part="status"),
        Rule(("list",), (JOB,), "wait for those that run"),
    ),
}

NEEDS: Mapping[ActKind, tuple[tuple[Need, tuple[Side, ...]], ...]] = {
    ActKind.COPY: ((Need.COPY, BOTH), (Need.COPY_ROLE, (Side.TARGET,)), (Need.COPY_BINDING, (Side.TARGET,))),
    ActKind.READY: ((Need.READY, (Side.TARGET,)),),
    ActKind.PIN: ((Need.PIN, BOTH), (Need.BEHIND, (Side.SOURCE,))),
    ActKind.UNPIN: ((Need.PIN, BOTH), (Need.BEHIND, (Side.SOURCE,))),
    ActKind.ADOPT: ((Need.ADOPT, OWN),),
    ActKind.EXPORT: ((Need.EXPORT, OWN), (Need.SEEN, BOTH)),
    ActKind.SPLIT: ((Need.SWITCH, BOTH),),
    ActKind.SHADOW: ((Need.SWITCH, BOTH), (Need.WATCH, BOTH), (Need.BEHIND, BOTH)),
    ActKind.WEIGHT: ((Need.SWITCH, BOTH), (Need.WATCH, BOTH), (Need.BEHIND, BOTH)),
    ActKind.FINISH: ((Need.SWITCH, BOTH),),
    ActKind.SOAK: ((Need.SWITCH, BOTH), (Need.BEHIND, (Side.TARGET,))),
    ActKind.SCALE: ((Need.SCALE, OWN),),
    ActKind.UNADOPT: ((Need.ADOPT, OWN), (Need.PART, OWN), (Need.SWITCH, BOTH)),
    ActKind.HANDOVER: ((Need.HANDOVER, BOTH),),
}
"""What each kind of act needs and where, its undo included."""

FOUND: Mapping[ActKind, tuple[Kind, ...]] = {
    ActKind.PIN: (HPA,),
    ActKind.UNPIN: (HPA,),
    ActKind.SCALE: (DEPLOYMENT, STATEFULSET),
}
"""What an act works on that names no objects: it finds them behind its service."""
