"""Whether what migration.yaml names exists."""

from __future__ import annotations

from collections.abc import Iterator

from landbridge.assess.check import Check, Seen
from landbridge.assess.facts import Facts
from landbridge.laws.weights import check_bake
from landbridge.model.inventory import Platform, Severity
from landbridge.model.manifest import name_of
from landbridge.model.mirror import is_shortened, mirror_name
from landbridge.settings.names import suggest


def _namespaces(facts: Facts) -> Iterator[Seen]:
    there = {name_of(item) for item in facts.each("Namespace")}
    for name in facts.migration.namespaces:
        if name not in there:
            yield Seen(f"Namespace {name}", f"is not on the source{suggest(name, there)}")


def _names(facts: Facts) -> Iterator[Seen]:
    services = {str(service.id) for service, _ in facts.services}
    for name, settings in sorted(facts.migration.services.items()):
        if name not in services:
            yield Seen(f"Service {name}", f"is in migration.yaml but not on the source{suggest(name, services)}")
        for before in settings.after:
            if before not in services:
                yield Seen(
                    f"Service {name}", f"is to move after {before}, which does not exist{suggest(before, services)}"
                )
    workers = {f"{w.ref.namespace}/{w.ref.name}" for w in facts.inventory.workloads if str(w.ref) not in facts.behind}
    for name in sorted(set(facts.migration.workers) - workers):
        yield Seen(f"Worker {name}", f"is no workload behind no Service{suggest(name, workers)}")


def _bakes(facts: Facts) -> Iterator[Seen]:
    for service, _ in facts.services:
        steps = facts.migration.steps_of(service.id)
        refusal = check_bake(steps)
        if refusal and not facts.migration.service(service.id).skip:
            yield Seen(f"Service {service.id}", f"goes up by {', '.join(map(str, steps))} %: {refusal.reason}")


def _mirrors(facts: Facts) -> Iterator[Seen]:
    """Mirrors with another name than people expect; each side sees the other's. Linkerd has no short names."""
    if not facts.mesh.leaves:
        return
    for service, _ in facts.services:
        for platform in (facts.inventory.source, facts.inventory.target):
            if is_shortened(service.id.name, platform.name):
                name = mirror_name(service.id.name, platform.name)
                yield Seen(f"Service {service.id}", f"is called {name} where it is seen from {_other(facts, platform)}")


def _other(facts: Facts, platform: Platform) -> str:
    ends = (facts.inventory.source.name, facts.inventory.target.name)
    return ends[1] if platform.name == ends[0] else ends[0]


CHECKS = (
    Check(
        name="mirror-name",
        title="mirrors are called SERVICE-CLUSTER",
        severity=Severity.NOTE,
        what="A service whose mirror `<service>-<cluster>` would have more than 63 characters.",
        why="No Service may have such a name. The mirror is called by the first letters of it, eight digits of the "
        "whole name's SHA-256 and the cluster; routers, agents and metrics follow, scripts of your own may not.",
        advice="use the name in the message where you name the mirror yourself, or give the cluster a shorter name",
        find=_mirrors,
    ),
    Check(
        name="last-bake",
        title="a last step keeps something to compare with",
        severity=Severity.WARNING,
        what="Weight steps without one from 95 to 99 % before the 100.",
        why="At 100 % there is no control arm: faults that show only under nearly all of the load (pools, caches, "
        "rate limits) are found when it is too late to compare.",
        advice="add a step of 95 % to 99 % before the 100",
        find=_bakes,
    ),
    Check(
        name="known-namespace",
        title="the namespaces exist",
        severity=Severity.BLOCKER,
        what="A namespace of migration.yaml that the source does not have, or that could not be read.",
        why="Nothing of it would move, and nobody would notice.",
        advice="correct the name in migration.yaml",
        find=_namespaces,
    ),
    Check(
        name="known-service",
        title="the services and workers of migration.yaml exist",
        severity=Severity.BLOCKER,
        what="A service or worker that migration.yaml names and the inventory does not have.",
        why="What was meant for it (slower steps, skip) would have no effect.",
        advice="correct the name in migration.yaml, or take the inventory again",
        find=_names,
    ),
)
