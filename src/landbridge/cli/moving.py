"""`run` and the commands to a run: pause, resume, approve, rollback."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import cyclopts
from cyclopts import Parameter
from rich.prompt import Confirm

from landbridge.cli import folder
from landbridge.cli.output import Format, Where, columns, complain, emit, talk
from landbridge.cli.running import chosen, is_running, left_alone, open_journal, person
from landbridge.clock import SystemClock, rfc3339
from landbridge.connect.options import IMAGE
from landbridge.errors import DocumentError, DriftError, Exit, LandbridgeError
from landbridge.model.journal import State, What
from landbridge.model.plan import Plan
from landbridge.model.service import Manifest, ServiceId
from landbridge.observe.guards import Guards
from landbridge.observe.table import PROVIDERS, clients
from landbridge.run import preflight, runner
from landbridge.run.agenda import Scope, agenda, in_reach
from landbridge.run.roles import Subject, subject_of
from landbridge.run.roles import roles as make_roles
from landbridge.run.status import explain
from landbridge.run.turns import Event
from landbridge.settings import Migration
from landbridge.translate.rules import rules_of

HERE = Where()
STAY = Scope(services=frozenset(), last_wave=-1)  # nothing goes forward: only what was asked back goes back


def register(app: cyclopts.App) -> None:
    """Add these commands."""
    for command in (run, pause, resume, approve, rollback):
        app.command(command)


def run(
    *services: str,
    wave: int | None = None,
    dry_run: bool = False,
    roles: str = "",
    wait: bool = False,
    yes: bool = False,
    where: Where = HERE,
) -> int:
    """Carry plan.yaml out, or go on with what was interrupted.

    When all that is left waits for a person, it ends with exit code 6, and says which splits go home then: without a
    runner nobody watches them.

    Example: `landbridge run shop/web shop/cart --yes`

    Parameters
    ----------
    services:
        Only move these (namespace/name); the waves that prepare are for all.
    wave:
        Stop after this wave, counted from 1.
    dry_run:
        Only print the acts in the order in which they would be done.
    roles:
        Only print, as YAML, the roles that this run needs in both clusters, for whoever is named: `user:NAME`,
        `group:NAME` or `serviceaccount:NAMESPACE/NAME`.
    wait:
        Stay and watch while services wait for a person, instead of ending; obeys pause, resume, approve and rollback.
    yes:
        Do not ask.
    """
    migration = folder.settings(where)
    read = folder.plan_reader(where.file(folder.PLAN))
    last = None if wave is None else _last_wave(wave, read())
    scope = Scope(services=chosen(services, read()) if services else None, last_wave=last)
    if roles:
        made = folder.go(_roles(migration, read(), scope, subject_of(roles)))
        emit(made, Format.JSON if where.output is Format.JSON else Format.YAML)
        return Exit.DONE
    if dry_run:
        states = folder.go(runner.rehearse(where.directory, read, scope=scope, tell=_told))
        _print_states(states, where)
        return Exit.DONE
    if not yes:
        _ask(migration)
    return _carry_out(where, migration, scope, wait=wait)


def _last_wave(wave: int, plan: Plan) -> int:
    """The place of the wave that a person counted from 1."""
    if not 1 <= wave <= len(plan.waves):
        names = ", ".join(f"{number} {one.name}" for number, one in enumerate(plan.waves, start=1))
        raise DocumentError(f"there is no wave {wave}", where="--wave", advice=f"the plan has {names}")
    return wave - 1


async def _roles(migration: Migration, plan: Plan, scope: Scope, subject: Subject) -> list[Manifest]:
    """Of both clusters, in the order source, target."""
    async with folder.clusters(migration) as (source, target):
        wanted = await preflight.needed(source, target, in_reach(agenda(plan, scope=scope)))
    ends = zip(wanted.values(), (source, target), strict=True)
    return [role for rights, k8s in ends for role in make_roles(rights, subject, k8s.name)]


def _ask(migration: Migration) -> None:
    question = f"Move traffic from {migration.source.name} to {migration.target.name} by plan.yaml?"
    if not sys.stdin.isatty():
        raise DocumentError("nobody is there to say yes", advice="give --yes")
    if not Confirm.ask(question, console=talk, default=False):
        raise DocumentError("not confirmed; nothing was done")


def _carry_out(where: Where, migration: Migration, scope: Scope, *, wait: bool = False) -> int:
    try:
        summary = folder.go(_run(where, migration, scope, wait=wait))
    except DriftError:
        raise  # another runner has the lease, and stands behind the splits
    except BaseException:
        _tell_expiry(where)
        raise
    _tell_expiry(where)
    if summary.resumed:
        talk.print("went on with the run that was interrupted")
    _print_states(summary.states, where)
    error = summary.error()
    return complain(error) if error else Exit.DONE


def _tell_expiry(where: Where) -> None:
    """However the run has ended: what its splits do without it. Why it ended is told whatever happens here."""
    with suppress(LandbridgeError):
        if found := left_alone(where, folder.plan(where)):
            talk.print(found, markup=False)


async def _run(where: Where, migration: Migration, scope: Scope, *, wait: bool) -> runner.Summary:
    clock, metrics = SystemClock(), migration.metrics
    async with (
        folder.clusters(migration) as (source, target),
        PROVIDERS[metrics.provider](metrics, source, target, clock) as provider,
        clients(metrics) as prometheus,
    ):
        return await runner.run(
            where.directory,
            folder.plan_reader(where.file(folder.PLAN)),
            source,
            target,
            scope=scope,
            rules=rules_of(migration.copy_),
            image=migration.data_plane.image or IMAGE,
            provider=provider,
            guards=Guards(migration.guards, prometheus, clock),
            clock=clock,
            tell=_told,
            wait=wait,
        )


def _told(event: Event) -> None:
    weight = f" {event.weight:3d} %" if event.weight is not None else ""
    act = event.act.removeprefix(f"{event.service}/")
    text = f"{rfc3339(event.at)[11:19]} {event.service!s:24s} {act:18s}{weight} {event.kind}: {event.text}"
    talk.out(text.rstrip(": "), highlight=False)  # print takes a millisecond, and there are thousands


def _print_states(states: object, where: Where) -> None:
    found: dict[ServiceId, State] = dict(states)  # type: ignore[call-overload]
    rows = [(s, state.phase.value, f"{state.weight} %", state.reason) for s, state in sorted(found.items())]
    value = [
        {"service": str(service), "phase": state.phase.value, "weight": state.weight, "reason": state.reason}
        for service, state in sorted(found.items())
    ]
    emit(value, where.output, table=columns(("service", "phase", "weight", "why"), rows))


def pause(*services: str, where: Where = HERE) -> None:
    """Let services stay at their weight; a run that is going on obeys within a second.

    Example: `landbridge pause shop/web`

    Parameters
    ----------
    services:
        namespace/name of those that are meant; all without any.
    """
    _command(What.PAUSE, services, where)


def resume(*services: str, where: Where = HERE) -> None:
    """Go on with paused, held, drifted or failed services.

    Example: `landbridge resume shop/web`

    Parameters
    ----------
    services:
        namespace/name of those that are meant; all without any.
    """
    _command(What.RESUME, services, where)


def approve(*services: str, where: Where = HERE) -> None:
    """Say yes where a wave, or a service that is held, waits for a person.

    Example: `landbridge approve shop/web`

    Parameters
    ----------
    services:
        namespace/name of those that are meant; all without any.
    """
    _command(What.APPROVE, services, where)


def rollback(
    *services: str,
    all_: Annotated[bool, Parameter(name="--all")] = False,
    dry_run: bool = False,
    where: Where = HERE,
) -> int:
    """Take services home: consumers first, the source at full size, then the traffic. Works from any state.

    A run that is going on does it; where there is none, this command does it itself.

    Example: `landbridge rollback shop/payments`

    Parameters
    ----------
    services:
        namespace/name of those that go home.
    all_:
        All of them.
    dry_run:
        Only print what would be undone, in order.
    """
    migration, plan = folder.settings(where), folder.plan(where)
    if services and all_:
        advice = "name services, or give --all for every one"
        raise DocumentError("--all and names of services contradict each other", where="--all", advice=advice)
    if not services and not all_:
        raise DocumentError("say which services go home, or --all", advice="landbridge rollback shop/web")
    if dry_run:
        _show_way_back(services, plan, where)
        return Exit.DONE
    asked = _send(What.ROLLBACK, services, plan, where)
    if is_running(where):
        talk.print("the run that is going on takes them home; follow it with: landbridge status --watch")
        emit({"asked": asked}, where.output, table="")
        return Exit.DONE
    return _carry_out(where, migration, STAY)


def _show_way_back(services: tuple[str, ...], plan: Plan, where: Where) -> None:
    wanted = chosen(services, plan) if services else chosen(tuple(_names(plan)), plan)
    now = SystemClock().now()
    with open_journal(where) as journal:
        found = {service: explain(journal, plan, service, now)["back"] for service in sorted(wanted)}
    value = {str(service): [act.id for act in acts] for service, acts in found.items() if acts}
    table = columns(
        ("service", "would be undone, in this order"), [(name, ", ".join(acts)) for name, acts in value.items()]
    )
    emit(value, where.output, table=table if value else "everything is home")


def _command(what: What, services: tuple[str, ...], where: Where) -> None:
    asked = _send(what, services, folder.plan(where), where)
    running = is_running(where)
    hint = "the run that is going on obeys" if running else "the next `landbridge run` obeys"
    emit({"asked": asked, "running": running}, where.output, table=f"{what.value}: {', '.join(asked)}; {hint}")


def _send(what: What, services: tuple[str, ...], plan: Plan, where: Where) -> list[str]:
    wanted: list[ServiceId | None] = [*sorted(chosen(services, plan))] if services else [None]
    with open_journal(where) as journal:
        for service in wanted:
            journal.command(what, service, person(), SystemClock().now())
    return [str(service or "all services") for service in wanted]


def _names(plan: Plan) -> set[str]:
    return {str(entry.service) for wave in plan.waves for entry in wave.services}
