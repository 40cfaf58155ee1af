"""The rights of our own parts, no wider than what they use (pure); docs/permissions.md says why each one is there.

A waypoint's agent reads its own namespace and the run's Lease. The gateway's agents, of which one leads, read Services
of the whole cluster and write only in the namespaces that move. The other cluster reads Services with a token of its
own. None of them reads Secrets by list.
"""

from __future__ import annotations

from typing import Any

from landbridge.connect import names
from landbridge.connect.options import Options
from landbridge.model.service import Manifest

RBAC = "rbac.authorization.k8s.io"
WATCH = ["list", "watch"]

Rule = dict[str, Any]


def for_waypoint(namespace: str, *, enforce: bool = False) -> list[Manifest]:
    """What a waypoint's agent may: read its namespace, and whether the run's Lease is still renewed; to `enforce`
    NetworkPolicies also those of its namespace, and whom they may name: pods and namespaces of the cluster.
    """
    rules = [
        _rule("", ["services"], WATCH),
        _rule("", ["configmaps"], WATCH, named=[names.PORTS]),
        _rule("discovery.k8s.io", ["endpointslices"], WATCH),
        *_splits(),
        *([_rule("networking.k8s.io", ["networkpolicies"], WATCH)] if enforce else []),
    ]
    wide = [_rule("", ["pods"], WATCH), _rule("", ["namespaces"], WATCH)] if enforce else []
    lease = f"{names.WAYPOINT}-{namespace}-lease"
    return [
        *_bound(names.WAYPOINT, namespace, rules, account=(names.WAYPOINT, namespace)),
        *_bound(lease, names.HOME, [_run_lease()], account=(names.WAYPOINT, namespace)),
        *(_cluster_bound(wide_name(namespace), wide, account=(names.WAYPOINT, namespace)) if wide else []),
    ]


def wide_name(namespace: str) -> str:
    """The ClusterRole of a waypoint that keeps policies."""
    return f"{names.WAYPOINT}-{namespace}"


def for_gateway(other: str, options: Options) -> list[Manifest]:
    """What a gateway's agent may: it may be the leader, who writes slices, mirrors and certificates."""
    account = (names.GATEWAY, names.HOME)
    cluster = [
        _rule("", ["services"], WATCH),
        _rule("", ["namespaces"], WATCH),
        _rule("discovery.k8s.io", ["endpointslices"], WATCH),
    ]
    home = [
        _rule("", ["secrets"], ["get"], named=[names.CA, names.TLS, names.link_name(other)]),
        _rule("", ["secrets"], ["patch"], named=[names.TLS]),
        _rule("coordination.k8s.io", ["leases"], ["create"]),
        _rule("coordination.k8s.io", ["leases"], ["get", "patch"], named=[names.AGENT]),
    ]
    found = [
        *_cluster_bound(names.GATEWAY, cluster, account=account),
        *_bound(names.GATEWAY, names.HOME, home, account),
    ]
    for namespace in options.namespaces:
        found += _bound(names.GATEWAY, namespace, _leader(), account)
    return found


def for_link() -> list[Manifest]:
    """What the other cluster's agent may read here: which Services are exported, and whether anybody is behind them."""
    rules = [_rule("", ["services"], WATCH), _rule("discovery.k8s.io", ["endpointslices"], WATCH)]
    return _cluster_bound(names.LINK, rules, account=(names.LINK, names.HOME))


def _leader() -> list[Rule]:
    """In a namespace that moves."""
    return [
        _rule("", ["pods"], WATCH),
        _rule("", ["services"], ["create", "patch", "delete"]),
        _rule("", ["endpoints"], ["get"]),
        _rule("discovery.k8s.io", ["endpointslices"], ["create", "patch", "delete"]),
        _rule("", ["configmaps"], ["create"]),
        _rule("", ["configmaps"], [*WATCH, "patch"], named=[names.PORTS]),
        _rule("", ["secrets"], ["get", "patch"], named=[names.TLS]),
        _rule("", ["events"], ["create"]),
        _rule("split.smi-spec.io", ["trafficsplits"], ["list"]),
        _rule("gateway.networking.k8s.io", ["httproutes"], ["list"]),
    ]


def _splits() -> list[Rule]:
    return [
        _rule("split.smi-spec.io", ["trafficsplits"], WATCH),
        _rule("gateway.networking.k8s.io", ["httproutes"], WATCH),
    ]


def _run_lease() -> Rule:
    return _rule("coordination.k8s.io", ["leases"], ["get"], named=[names.RUN])


def _rule(group: str, resources: list[str], verbs: list[str], *, named: list[str] | None = None) -> Rule:
    rule: Rule = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return rule | ({"resourceNames": named} if named else {})


def _bound(name: str, namespace: str, rules: list[Rule], account: tuple[str, str]) -> list[Manifest]:
    meta = {"name": name, "namespace": namespace, "labels": names.labels()}
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": [_subject(account)],
        },
    ]


def _cluster_bound(name: str, rules: list[Rule], account: tuple[str, str]) -> list[Manifest]:
    meta = {"name": name, "labels": names.labels()}
    return [
        {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": name},
            "subjects": [_subject(account)],
        },
    ]


def _subject(account: tuple[str, str]) -> dict[str, str]:
    name, namespace = account
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}
