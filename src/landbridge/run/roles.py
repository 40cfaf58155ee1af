"""Roles for whoever runs `landbridge run`: what its plan needs and nothing else (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from landbridge.connect import names
from landbridge.errors import DocumentError
from landbridge.model.service import Manifest
from landbridge.run.rights import Right

RBAC = "rbac.authorization.k8s.io"
CLUSTER = "landbridge.dev/cluster"
"""On each role: which cluster it is for, so that `kubectl apply -l` can pick it out of one file."""

Subject = Mapping[str, str]


def subject_of(text: str) -> Subject:
    """Whom a binding is for: `user:NAME`, `group:NAME` or `serviceaccount:NAMESPACE/NAME`; DocumentError otherwise."""
    kind, _, name = text.partition(":")
    namespace, _, account = name.partition("/")
    match kind.lower():
        case "user" | "group" if name:
            return {"apiGroup": RBAC, "kind": kind.capitalize(), "name": name}
        case "serviceaccount" if namespace and account:
            return {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    raise DocumentError(
        f"{text!r} names nobody whom a role could be bound to",
        where="--roles",
        advice="give user:NAME, group:NAME or serviceaccount:NAMESPACE/NAME, as the cluster knows whoever runs it",
    )


def roles(rights: Sequence[Right], subject: Subject, cluster: str) -> list[Manifest]:
    """Role and RoleBinding for each namespace, ClusterRole and ClusterRoleBinding where the plan needs them.

    `rights` are one cluster's; they carry a label with its name. None of them is landbridge's: whoever applies them
    takes them away again.
    """
    found: list[Manifest] = []
    for namespace, group in groupby(sorted(rights), key=lambda right: right.namespace):
        found += _bound([_rule(right) for right in group], subject, cluster, namespace)
    return found


def _rule(right: Right) -> dict[str, Any]:
    rule = {"apiGroups": [right.group], "resources": [right.resource], "verbs": list(right.verbs)}
    return rule | ({"resourceNames": list(right.names)} if right.names else {})


def _bound(rules: Sequence[Mapping[str, Any]], subject: Subject, cluster: str, namespace: str) -> list[Manifest]:
    kind = "Role" if namespace else "ClusterRole"
    place = {"namespace": namespace} if namespace else {}
    meta = {"name": names.RUN, **place, "labels": {CLUSTER: cluster}}
    head = {"apiVersion": f"{RBAC}/v1"}
    ref = {"apiGroup": RBAC, "kind": kind, "name": names.RUN}
    return [
        {**head, "kind": kind, "metadata": meta, "rules": list(rules)},
        {**head, "kind": f"{kind}Binding", "metadata": meta, "roleRef": ref, "subjects": [dict(subject)]},
    ]
