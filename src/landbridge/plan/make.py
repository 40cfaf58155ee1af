"""Makes a plan.

ground    each namespace's objects are on the target; workers stopped, schedules suspended
join      every service is adopted on both sides with all traffic home, so whatever starts on the target finds
          all that it calls, wherever that runs
wave-1..n workload copied, ready, pinned; weights; target is home; soak
leave     the source shrinks, the target is given back its Services, workers and schedules change sides
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter

from landbridge.assess.assess import open_blockers
from landbridge.assess.facts import Facts
from landbridge.errors import BlockedError, DocumentError, Mistake
from landbridge.garbage import resting
from landbridge.laws import twosided
from landbridge.laws.weights import check_percent
from landbridge.model.catalog import Catalog
from landbridge.model.inventory import Finding
from landbridge.model.plan import Act, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import Limits, ServiceId
from landbridge.plan import acts
from landbridge.plan.order import levels
from landbridge.plan.scope import Mover, Scope
from landbridge.settings.judging import Breach
from landbridge.settings.migration import Migration, Policies, full_retry

GROUND, JOIN, LEAVE = "ground", "join", "leave"
_NAMED = attrgetter("service.namespace", "service.name")


@resting()
def make(facts: Facts, findings: Sequence[Finding], catalog: Catalog) -> Plan:
    """The plan; the same input in any order gives the same plan.

    Raises BlockedError while a blocker is open, DocumentError where a step is not one that the router can take.
    """
    _refuse_blockers(findings)
    scope, migration = Scope(facts=facts), facts.migration
    _check_steps(scope, migration, catalog)
    _check_metrics(scope, migration)
    moves = _moves(scope, migration, catalog)
    waves = [_ground(scope, migration), _join(scope, migration), *moves, _leave(scope, migration)]
    kept = tuple(wave for wave in waves if wave.services)
    _check_approvals(migration, kept)
    ends = facts.inventory
    return Plan(source=ends.source.name, target=ends.target.name, waves=kept, bounds=_bounds(migration))


def _refuse_blockers(findings: Sequence[Finding]) -> None:
    blockers = open_blockers(tuple(findings))
    if blockers:
        lines = [f"{f.object} {f.message} ({f.check})" for f in blockers[:20]]
        more = [f"and {len(blockers) - 20} more"] if len(blockers) > 20 else []
        raise BlockedError(
            "\n  ".join([f"{len(blockers)} blockers forbid a plan:", *lines, *more]),
            where="assessment.json",
            advice="mend them, or accept them in migration.yaml with a reason; `landbridge assess` has the advice",
        )


def _check_steps(scope: Scope, migration: Migration, catalog: Catalog) -> None:
    limits = catalog.routers.get(migration.router) or Limits()
    wrong = {
        f"{service.id}: {refusal.reason}": None
        for service in scope.moving
        for percent in migration.steps_of(service.id)
        if (refusal := check_percent(percent, limits))
    }
    copied = [str(service.id) for service in scope.moving if migration.shadow_of(service.id).percent]
    if copied and migration.router in catalog.routers and not limits.header_route:
        text = f"the router {migration.router} cannot copy requests, which {', '.join(copied)} should have"
        raise DocumentError(
            "the router has no shadow",
            [Mistake(file="migration.yaml", line=None, path="shadow", message=text)],
            advice="take the shadow out or change the router",
        )
    if wrong:
        mistakes = [Mistake(file="migration.yaml", line=None, path="steps", message=text) for text in wrong]
        raise DocumentError("the router cannot take these steps", mistakes, advice="change steps or router")


def _check_metrics(scope: Scope, migration: Migration) -> None:
    if scope.facts.mesh.leaves or migration.metrics.provider != "envoy" or not scope.moving:
        return
    message = "Linkerd has no waypoints that count: say provider: prometheus, with the url of each side"
    mistake = Mistake(file="migration.yaml", line=None, path="metrics.provider", message=message)
    raise DocumentError("nobody would count the requests that are judged", [mistake])


def _callers(scope: Scope, service: ServiceId, catalog: Catalog) -> str:
    """What the first weight does to callers in the target's cluster, where they are part of no percentage."""
    mesh, routed = scope.facts.mesh, scope.facts.routed.get(service)
    limits = [catalog.routers.get(name, Limits()) for name in (routed.routers.values() if routed else ())]
    if not twosided.is_chained((limit.chains for limit in limits), leaf=mesh.leaves):
        return ""
    at = twosided.standing(1)
    target = scope.facts.inventory.target.name
    return f"callers in {target} go {at.target} % to the new copy from this step on, and home with a rollback"


def _check_approvals(migration: Migration, waves: Sequence[Wave]) -> None:
    names = [wave.name for wave in waves]
    mistakes = [
        Mistake(
            file="migration.yaml",
            line=None,
            path=path,
            message=f"there is no wave {', '.join(unknown)}; the plan has {', '.join(names)}",
        )
        for path, named in (("approve", migration.approve), ("windows", migration.windows))
        if (unknown := [name for name in named if name not in names])
    ]
    if mistakes:
        said = " and ".join(mistake.path for mistake in mistakes)
        raise DocumentError(f"{said} names waves that do not exist", mistakes)


def _bounds(migration: Migration) -> Bounds:
    last = [step for step in migration.steps if step < 100]
    return Bounds(
        alpha=migration.alpha,
        beta=migration.beta,
        bursts=migration.bursts.value,
        slo=migration.judge.slo,
        slo_rolls_back=migration.judge.breach is Breach.ROLL_BACK,
        must_see=migration.judge.must_see,
        pass_below=migration.judge.pass_below,
        on_expiry=migration.lease.on_expiry.value,
        lease_seconds=migration.lease.seconds,
        concurrency=migration.concurrency,
        max_hold_dwells=migration.max_hold_dwells,
        bake_percent=last[-1] if last else 100,
        full_retry=tuple(sorted(full_retry(migration))),
    )


def _wave(name: str, entries: Iterable[ServicePlan], migration: Migration) -> Wave:
    services = tuple(sorted((entry for entry in entries if entry.acts), key=_NAMED))
    window = migration.windows.get(name, "")
    return Wave(name=name, services=services, approval=name in migration.approve, window=window)


def _entry(
    service: ServiceId, made: Iterable[Act], migration: Migration, after: Iterable[ServiceId] = ()
) -> ServicePlan:
    idempotent = migration.service(service).idempotent
    return ServicePlan(service=service, acts=tuple(made), after=tuple(sorted(after)), idempotent=idempotent)


def _of_namespace(name: str) -> ServiceId:
    return ServiceId(name, "*")


def _ground(scope: Scope, migration: Migration) -> Wave:
    entries = []
    for number, (namespace, objects) in enumerate(scope.copies.items()):
        wide = scope.cluster_wide if number == 0 else []
        owner = _of_namespace(namespace)
        entries.append(_entry(owner, acts.ground(owner, objects, wide, scope.workers.get(namespace, ())), migration))
    return _wave(GROUND, entries, migration)


def _join(scope: Scope, migration: Migration) -> Wave:
    return _wave(
        JOIN,
        (_entry(service.id, _joining(scope, migration, service.id), migration) for service in scope.joined),
        migration,
    )


def _joining(scope: Scope, migration: Migration, service: ServiceId) -> Iterable[Act]:
    size, mesh = _size(scope, service), scope.facts.mesh
    if mesh.leaves:
        enforced = migration.data_plane.policies is Policies.ENFORCE
        pods = scope.facts.called.get(service, ()) if enforced else ()
        return acts.join(service, migration, migration.router, size, pods)
    routed = scope.facts.routed[service]
    return acts.link(service, size, mesh.name, routed.routers, routed.domains)


def _size(scope: Scope, service: ServiceId) -> int:
    """How many pods home needs before traffic may go back to it."""
    return max(1, sum(mover.replicas for mover in scope.workloads([service])))


def _moves(scope: Scope, migration: Migration, catalog: Catalog) -> list[Wave]:
    wave_of = levels((service.id for service in scope.moving), scope.facts.inventory, migration)
    entries: dict[int, list[ServicePlan]] = {}
    for head, members in scope.groups.items():
        number = max(wave_of[member] for member in members)
        movers = scope.workloads(members)
        for member in members:
            shifted = acts.shift(member, migration, _callers(scope, member, catalog))
            made = [*(acts.bring(head, movers) if member == head else ()), *shifted]
            wanted = {ServiceId.parse(name) for name in migration.service(member).after}
            after = {other for other in wanted if wave_of.get(other) == number and other not in members}
            after |= {head} - {member}
            entries.setdefault(number, []).append(_entry(member, made, migration, after))
    return [
        _wave(f"wave-{position}", entries[number], migration)
        for position, number in enumerate(sorted(entries), start=1)
    ]


def _leave(scope: Scope, migration: Migration) -> Wave:
    entries = []
    for head, members in scope.groups.items():
        movers: Sequence[Mover] = scope.workloads(members)
        for member in members:
            lead = member == head
            made = [
                *(acts.leave(head, members, movers) if lead else ()),
                *acts.part(member, "" if scope.facts.mesh.leaves else scope.facts.mesh.name),
                *(acts.unpin(head, movers) if lead else ()),
            ]
            entries.append(_entry(member, made, migration, {head} - {member}))
    for namespace in scope.copies:
        owner = _of_namespace(namespace)
        made = [*acts.hand_over(owner, scope.schedules.get(namespace, ()))]
        for mover in scope.workers.get(namespace, ()):
            known = migration.workers.get(f"{namespace}/{mover.ref.name}")
            made += acts.move_worker(owner, mover, idempotent=bool(known and known.idempotent))
        entries.append(_entry(owner, made, migration))
    return _wave(LEAVE, entries, migration)
