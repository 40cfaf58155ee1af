"""Who else writes, refuses or changes objects: deploy tools, autoscalers, webhooks, what is there already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.model.inventory import Severity
from landbridge.model.manifest import name_of, namespace_of, subject
from landbridge.translate.drop import dropped

_GITOPS = frozenset({"argocd", "flux", "kapp"})
_KNOWN = _GITOPS | {"helm", "hpa", "keda"}
_EVERY_CLUSTER = frozenset({("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")})
_MERGED = frozenset({"Namespace", "ServiceAccount"})
_COUNTED = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Service", "CronJob", "Ingress"})


def _by(facts: Facts, *tools: str) -> Iterator[tuple[str, str, str]]:
    """(object, tool, evidence) for the objects people deploy; what hangs on them is left out."""
    for owner in facts.inventory.owners:
        if owner.by in tools and owner.ref.kind in _COUNTED:
            yield str(owner.ref), owner.by, owner.evidence


def _gitops(facts: Facts) -> Iterator[Seen]:
    for name, by, evidence in _by(facts, *_GITOPS):
        yield Seen(name, f"is kept by {by} ({evidence}), which puts back what it finds changed")


def _helm(facts: Facts) -> Iterator[Seen]:
    for name, _, evidence in _by(facts, "helm"):
        yield Seen(name, f"was installed by Helm ({evidence})")


def _scaled(facts: Facts) -> Iterator[Seen]:
    for name, by, evidence in _by(facts, "hpa", "keda"):
        yield Seen(name, f"has its {evidence} ({by})")


def _others(facts: Facts) -> Iterator[Seen]:
    found: dict[str, list[str]] = defaultdict(list)
    for owner in facts.inventory.owners:
        if owner.by not in _KNOWN and owner.ref.kind in _COUNTED:
            found[str(owner.ref)].append(owner.by)
    for name, managers in sorted(found.items()):
        yield Seen(name, f"was written by {', '.join(sorted(set(managers)))}")


def _existing(facts: Facts) -> Iterator[Seen]:
    ours = frozenset(facts.inventory.extra.get("ours") or ())
    for item in facts.inventory.target.objects:
        kind, name = item["kind"], name_of(item)
        key = (kind, namespace_of(item), name)
        if key not in facts.names or kind in _MERGED or (kind, name) in _EVERY_CLUSTER or not namespace_of(item):
            continue
        if subject(item) not in ours and dropped(item) is None:
            yield Seen(subject(item), "is on the target already and is left as it is")


def _webhooks(facts: Facts) -> Iterator[Seen]:
    for item in facts.there.get("ValidatingWebhookConfiguration", ()):
        strict = [hook["name"] for hook in item.get("webhooks") or () if hook.get("failurePolicy", "Fail") == "Fail"]
        if strict:
            yield Seen(subject(item), f"may refuse copies on the target ({', '.join(sorted(strict)[:3])})")
    for item in facts.there.get("MutatingWebhookConfiguration", ()):
        yield Seen(subject(item), "may change copies on the target, and whoever compares will see a difference")


def _missing_webhooks(facts: Facts) -> Iterator[Seen]:
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        there = {name_of(item) for item in facts.there.get(kind, ())}
        for item in facts.each(kind):
            if name_of(item) not in there:
                yield Seen(subject(item), "changes or checks objects on the source and is missing on the target")


CHECKS = (
    Check(
        name="gitops",
        title="no GitOps tool puts objects back",
        severity=Severity.WARNING,
        what="A workload, Service, CronJob or Ingress that Argo CD, Flux or kapp keeps.",
        why="It puts back a selector, a replica count or a suspended schedule within minutes. Adoption survives a "
        "re-apply of the Service; a source scaled to 0 does not survive one of the Deployment.",
        advice="point the tool at the target too, and let it ignore selector, replicas and suspend meanwhile",
        find=_gitops,
    ),
    Check(
        name="helm-release",
        title="Helm releases are known",
        severity=Severity.NOTE,
        what="An object of a Helm release.",
        why="Objects are copied without Helm's labels, for a release that the target does not know would own them. "
        "The next `helm upgrade` has to go to both sides.",
        advice="let the pipeline install the release on the target as well, or adopt the copies into it afterwards",
        find=_helm,
    ),
    Check(
        name="autoscaled",
        title="autoscalers are held during the shift",
        severity=Severity.NOTE,
        what="A workload whose replicas an autoscaler writes.",
        why="The source loses load while it moves and would shrink, so a rollback would meet a source that is too "
        "small; the target at its minimum died when it got all traffic at once.",
        advice="nothing: the plan pins the source's size and raises the target's minimum, and puts both back",
        find=_scaled,
    ),
    Check(
        name="other-writer",
        title="it is known who writes",
        severity=Severity.NOTE,
        what="Field managers of workloads, Services, CronJobs and Ingresses that are no known tool.",
        why="A person or a pipeline changed them last. A write in mid-shift is noticed: a selector is put back, a new "
        "image holds the service, another weight stops it.",
        advice="tell them when their service moves",
        find=_others,
    ),
    Check(
        name="existing-object",
        title="the target's namespaces are empty",
        severity=Severity.WARNING,
        what="An object of the same kind and name on the target that landbridge did not make.",
        why="It is never overwritten. If it is an older try it may differ from what runs on the source, and traffic "
        "would go to it.",
        advice="delete it if nobody needs it, or accept this after comparing",
        find=_existing,
    ),
    Check(
        name="target-webhook",
        title="no admission webhook of the target stands in the way",
        severity=Severity.WARNING,
        what="Webhook configurations of the target: validating ones with failurePolicy Fail, and mutating ones.",
        why="They decide over every copy. A dry run asks them all before anything is written; one whose server is down "
        "refuses everything.",
        advice="run `landbridge run --dry-run`, and see that their servers are up during the migration",
        find=_webhooks,
    ),
    Check(
        name="source-webhook",
        title="the target has the source's admission webhooks",
        severity=Severity.WARNING,
        what="A webhook configuration that only the source has.",
        why="Sidecars, defaults or image registries that it adds are not in the manifests, or only in pods. What it "
        "forbids is allowed on the target.",
        advice="install it on the target, or see that nothing depends on it",
        find=_missing_webhooks,
    ),
)
