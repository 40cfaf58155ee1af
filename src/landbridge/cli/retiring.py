"""`retire`: what is left on the source, and taking the source out of the path where nobody calls it any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from landbridge.cli import folder
from landbridge.cli.output import Where, columns, emit, seconds_of, talk
from landbridge.cli.running import chosen, open_journal, person
from landbridge.clock import SystemClock
from landbridge.errors import Exit
from landbridge.model.plan import Plan
from landbridge.model.service import ServiceId
from landbridge.run import retire as retiring
from landbridge.run.leftovers import Left
from landbridge.settings import Migration

HERE = Where()


def register(app: cyclopts.App) -> None:
    """Add this command."""
    app.command(retire)


def retire(
    *services: str,
    for_: Annotated[str, Parameter(name="--for")] = "60s",
    yes: bool = False,
    dry_run: bool = False,
    where: Where = HERE,
) -> int:
    """Show what is left on the source and who still calls it; with --yes take the source out of the path where it may.

    A service may go when all its acts are done (the soak too), the source has no pods behind it, the target is ready,
    and nobody called it or is connected to it on the source while it was watched. Exit 3 while one may not. Its Service
    then is as it was before adoption; `landbridge rollback` takes that back. Your workloads, HPAs and schedules are
    only listed: delete them where you declare them, then `landbridge disconnect`.

    Example: `landbridge retire --for 10m`

    Parameters
    ----------
    services:
        namespace/name of those that are meant; all without any.
    for_:
        How long callers are watched for; make it longer than your rarest caller's pause.
    yes:
        Take out what may go.
    dry_run:
        Only list, whatever else is said; the default without --yes.
    """
    migration, plan = folder.settings(where), folder.plan(where)
    known = chosen(services, plan) if services else _everything(plan)
    with open_journal(where):
        pass  # an error of its own where no run has begun
    seconds = seconds_of(for_, "--for")
    found = folder.go(_retire(where, migration, plan, known, seconds, act=yes and not dry_run))
    emit([_plain(left) for left in found], where.output, table=_table(found, seconds))
    held = [left for left in found if left.refusals]
    talk.print(_next(found, held))
    return Exit.BLOCKED if held else Exit.DONE


async def _retire(
    where: Where, migration: Migration, plan: Plan, services: Collection[ServiceId], seconds: float, *, act: bool
) -> list[Left]:
    async with folder.clusters(migration) as (source, target):
        with talk.status(f"watching {source.name} for callers, {seconds:g} s"):
            clock = SystemClock()
            if not act:
                return await retiring.look(
                    where.directory, plan, source, target, services, seconds=seconds, clock=clock
                )
            return await retiring.retire(
                where.directory,
                plan,
                source,
                target,
                services,
                seconds=seconds,
                clock=clock,
                by=person(),
                say=talk.print,
            )


def _everything(plan: Plan) -> frozenset[ServiceId]:
    return frozenset(entry.service for wave in plan.waves for entry in wave.services)


def _plain(left: Left) -> dict[str, Any]:
    return {**asdict(left), "service": str(left.service), "may_go": left.may_go}


def _table(found: Sequence[Left], seconds: float) -> Table:
    head = ("service", "left on the source", f"calls in {seconds:g} s", "connections", "may go")
    return columns(head, [_row(left) for left in found])


def _row(left: Left) -> tuple[str, ...]:
    in_path = ("adopted",) if left.adopted else ()
    here = escape("; ".join((*in_path, *left.objects)) or "nothing")
    calls, held = "", ""
    if left.callers is not None:
        unknown = bool(left.callers.unknown)
        calls, held = ("?", "?") if unknown else (str(left.callers.requests), str(left.callers.open))
    return str(left.service), here, calls, held, escape(_may_go(left))


def _may_go(left: Left) -> str:
    if left.refusals:
        return "no: " + "; ".join(left.refusals)
    if left.stays:
        return "stays, by the plan"
    return "yes" if left.may_go else "out of the path" if left.service.name != "*" else ""


def _next(found: Sequence[Left], held: Sequence[Left]) -> str:
    free = [left for left in found if left.may_go]
    if free:
        return f"{len(free)} services may go; next: landbridge retire --yes"
    if held:
        return f"{len(held)} services have to stay for now"
    return "nothing holds the source; delete your objects there where you declare them, then: landbridge disconnect"
