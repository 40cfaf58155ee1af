"""Who workloads are to others: cloud roles, tokens, secrets, registries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import (
    NONE,
    Fields,
    annotations_of,
    containers,
    name_of,
    namespace_of,
    pod_template,
    subject,
)

_KEYS = frozenset(
    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "GOOGLE_APPLICATION_CREDENTIALS", "AZURE_CLIENT_SECRET"}
)
_MADE_BY = frozenset({"helm", "argocd", "flux", "kapp"})
_MADE_TYPES = frozenset({"helm.sh/release.v1", "kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"})
TOKEN = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name
ROLE_ARN = "eks.amazonaws.com/role-arn"


def _kiam(facts: Facts) -> Iterator[Seen]:
    for item, _ in facts.workloads:
        notes = (pod_template(item).get("metadata") or NONE).get("annotations") or NONE
        if role := notes.get("iam.amazonaws.com/role"):
            yield Seen(subject(item), f"gets the role {role} from kiam or kube2iam, which the target does not have")


def _irsa(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("ServiceAccount"):
        if role := annotations_of(item).get(ROLE_ARN):
            yield Seen(subject(item), f"takes the role {role}, which trusts the source's OIDC provider")


def _node_role(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.workloads:
        for container in containers(spec):
            keys = [v["name"] for v in container.get("env") or () if v["name"] in _KEYS and v.get("value")]
            if keys:
                yield Seen(subject(item), f"has credentials in clear in its manifest ({', '.join(sorted(keys))})")


def _tokens(facts: Facts) -> Iterator[Seen]:
    for item in facts.each("Secret"):
        account = annotations_of(item).get("kubernetes.io/service-account.name", "")
        if item.get("type") == TOKEN and not name_of(item).startswith(f"{account}-token-"):
            yield Seen(subject(item), f"is a token of ServiceAccount {account} that somebody outside may use")


def _hand_made(facts: Facts) -> Iterator[Seen]:
    owned = {
        (o.ref.namespace, o.ref.name) for o in facts.inventory.owners if o.ref.kind == "Secret" and o.by in _MADE_BY
    }
    for item in facts.each("Secret"):
        made = item["metadata"].get("ownerReferences") or item.get("type") in _MADE_TYPES
        if not made and (namespace_of(item), name_of(item)) not in owned:
            count = len(item.get("data") or ())
            yield Seen(subject(item), f"seems to be made by hand ({count} keys): it is in no chart and no repository")


def _references(facts: Facts) -> Iterator[Seen]:
    for item, spec in facts.workloads:
        namespace = namespace_of(item)
        missing = {
            f"{kind} {name}"
            for kind, name, optional in _named(spec)
            if not optional and (kind, namespace, name) not in facts.names
        }
        if missing:
            yield Seen(subject(item), f"needs {', '.join(sorted(missing))}, which the source does not have")


_ENV_FROM = (("configMapRef", "ConfigMap"), ("secretRef", "Secret"))
_ENV = (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret"))


def _named(spec: Fields) -> Iterator[tuple[str, str, bool]]:
    """(kind, name, optional) of what a pod spec needs beside it."""
    for container in containers(spec):
        yield from _refs(container.get("envFrom") or (), _ENV_FROM)
        yield from _refs([v.get("valueFrom") or NONE for v in container.get("env") or ()], _ENV)
    for volume in spec.get("volumes") or ():
        if ref := volume.get("configMap"):
            yield "ConfigMap", ref["name"], bool(ref.get("optional"))
        if ref := volume.get("secret"):
            yield "Secret", ref["secretName"], bool(ref.get("optional"))
    for ref in spec.get("imagePullSecrets") or ():
        yield "Secret", ref["name"], False
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account and account != "default":
        yield "ServiceAccount", account, False


def _refs(sources: Iterable[Fields], fields: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str, bool]]:
    for source in sources:
        for field, kind in fields:
            if ref := source.get(field):
                yield kind, ref["name"], bool(ref.get("optional"))


CHECKS = (
    Check(
        name="kiam",
        title="no roles through kiam or kube2iam",
        severity=Severity.BLOCKER,
        what="A pod annotation iam.amazonaws.com/role.",
        why="Those programs stand in front of the node's metadata service. On EKS without them the pod silently uses "
        "the node's role: wrong account, wrong rights, and errors only when the first request needs them.",
        advice="give its ServiceAccount a role (IRSA or EKS Pod Identity) on the target, then take the annotation away",
        find=_kiam,
    ),
    Check(
        name="irsa",
        title="cloud roles trust the target's pods",
        severity=Severity.WARNING,
        what="A ServiceAccount with eks.amazonaws.com/role-arn.",
        why="A role's trust policy names one OIDC provider, and each cluster has its own. The copy carries the "
        "annotation, and AssumeRoleWithWebIdentity is refused until the policy names the target's provider too.",
        advice="add the target's OIDC provider to the role's trust policy before the copy; keep the source's",
        find=_irsa,
    ),
    Check(
        name="static-credentials",
        title="no credentials in clear in manifests",
        severity=Severity.WARNING,
        what="A variable such as AWS_SECRET_ACCESS_KEY with a literal value.",
        why="A static key goes before the role of the ServiceAccount in every SDK's chain, so the target would act as "
        "the source; and it is in the inventory as it is in the manifest.",
        advice="take them out for a role of the ServiceAccount, or put them into a Secret",
        find=_node_role,
    ),
    Check(
        name="token-secret",
        title="no hand-made ServiceAccount tokens",
        severity=Severity.WARNING,
        what="A Secret of type kubernetes.io/service-account-token that Kubernetes did not make by itself.",
        why="Somebody outside, often CI, holds its token. The target signs another one; in one migration a rollback "
        "made all of them invalid at once.",
        advice="find who uses it, give them a second set of credentials for the target before the move",
        find=_tokens,
    ),
    Check(
        name="hand-made-secret",
        title="secrets come from somewhere",
        severity=Severity.NOTE,
        what="A Secret that no chart, GitOps tool or operator owns.",
        why="It is copied from API to API, but whoever rotates it by hand will do so on one side only.",
        advice="tell its owner that there are two until the migration is over, or move it to a secret store",
        find=_hand_made,
    ),
    Check(
        name="missing-reference",
        title="everything that pods need exists",
        severity=Severity.WARNING,
        what="A ConfigMap, Secret or ServiceAccount that a pod template needs and the source does not have.",
        why="Pods that run already do not notice; a new one, as every copy is, never starts.",
        advice="make it, or mark the reference optional; then take the inventory again",
        find=_references,
    ),
)
