"""`status`, `explain`, `report`: what is going on, why, and what was done. They need no runner and no cluster."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from pydantic import TypeAdapter
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from landbridge.cli import folder
from landbridge.cli.output import Format, Where, columns, emit, span, talk
from landbridge.cli.running import chosen, left_alone, open_journal
from landbridge.clock import SystemClock, rfc3339
from landbridge.model.journal import Entry
from landbridge.model.plan import Act, Plan
from landbridge.report.page import render
from landbridge.report.story import tell
from landbridge.run import status as projection
from landbridge.run.burnup import spark
from landbridge.run.status import Row, Status

HERE = Where()
EVERY = 1.0
acts = TypeAdapter(list[Act])
lines = TypeAdapter(list[Entry])


def register(app: cyclopts.App) -> None:
    """Add these commands."""
    for command in (status, explain, report):
        app.command(command)


def status(*, watch: Annotated[bool, Parameter(name=["--watch", "-w"])] = False, where: Where = HERE) -> None:
    """Show where every service stands, how long it has to go, and how long the way back would take now.

    Example: `landbridge status --watch`

    Parameters
    ----------
    watch:
        Stay and show it anew each second; with -o json or yaml one document after the other.
    """
    if not watch:
        found, alone = _read(where, folder.plan(where))
        emit(_plain(found) | {"left_alone": alone}, where.output, table=_table(found, alone))
        return
    folder.go(_watch(where))


async def _watch(where: Where) -> None:
    clock = SystemClock()
    plan = folder.plan_reader(where.file(folder.PLAN))  # of 409 services it takes seconds to read
    while where.output is not Format.TABLE:
        found, alone = _read(where, plan())
        sys.stdout.write("---\n" if where.output is Format.YAML else "")
        emit(_plain(found) | {"left_alone": alone}, where.output)
        sys.stdout.flush()
        await clock.sleep(EVERY)
    with Live(_table(*_read(where, plan())), console=talk, auto_refresh=False) as live:
        while True:
            await clock.sleep(EVERY)
            live.update(_table(*_read(where, plan())), refresh=True)


def _read(where: Where, plan: Plan) -> tuple[Status, str]:
    """Where everything stands, and what splits do that no runner stands behind."""
    with open_journal(where) as journal:
        found = projection.read_status(journal, plan, SystemClock().now())
    return found, left_alone(where, plan)


def _plain(found: Status) -> dict[str, Any]:
    rows = [{**asdict(row), "service": str(row.service), "phase": row.phase.value} for row in found.rows]
    head = {"at": rfc3339(found.at), "run": found.run, "running": found.running, "wave": found.wave}
    burned = [{"at": rfc3339(at), "home": home} for at, home in found.burn_up]
    return {**head, "guards": list(found.guards), "moving": found.moving, "burn_up": burned, "services": rows}


def _table(found: Status, alone: str) -> Table:
    head = ("service", "phase", "weight", "done", "left", "way back", "failed old", "failed new", "why or next")
    table = columns(head, [_cells(row) for row in found.rows])
    doing = f"{found.run} is going on, wave {found.wave}" if found.running else "no run is going on"
    home = found.burn_up[-1][1] if found.burn_up else 0
    line = f"home on the target: {home} of {found.moving} {spark(found.burn_up, found.moving, found.at)}".rstrip()
    more = (*found.guards, *([alone] if alone else ()))
    table.caption = "\n".join((f"{rfc3339(found.at)[11:19]} UTC; {doing}", line, *map(escape, more)))
    return table


def _cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.service),
        row.phase.value,
        f"{row.weight} %",
        f"{row.done}/{row.acts}",
        span(row.left),
        span(row.back),
        f"{row.bad_source}/{row.n_source}" if row.n_source else "",
        f"{row.bad_target}/{row.n_target}" if row.n_target else "",
        (row.reason or row.act.removeprefix(f"{row.service}/")).replace("[", r"\["),
    )


def explain(service: str, /, *, where: Where = HERE) -> None:
    """Say why a service stands where it stands, and what comes next.

    Example: `landbridge explain shop/payments`

    Parameters
    ----------
    service:
        namespace/name, or the name alone.
    """
    plan = folder.plan(where)
    (wanted,) = chosen((service,), plan)
    with open_journal(where) as journal:
        found = projection.explain(journal, plan, wanted, SystemClock().now())
    row: Row = found["row"]
    alone = left_alone(where, plan, wanted)
    value = {
        "service": str(wanted),
        "row": {**asdict(row), "service": str(row.service)},
        "next": acts.dump_python(found["next"], mode="json"),
        "back": acts.dump_python(found["back"], mode="json"),
        "lines": lines.dump_python(found["lines"], mode="json"),
        "looks": found["looks"],
        "left_alone": alone,
    }
    emit(value, where.output, table=_story(row, found, alone))


def _story(row: Row, found: dict[str, Any], alone: str) -> str:
    text = [f"{row.service} is {row.phase.value} at {row.weight} %: {row.reason or 'going on'}"]
    text += [alone] if alone else []
    if row.evidence is not None:
        text.append(
            f"failed: {row.bad_source} of {row.n_source} on the source, {row.bad_target} of {row.n_target} on the "
            f"target; evidence against the target {row.evidence:.3g}, verdict {row.verdict or 'none yet'}"
        )
    text.append("next:     " + (", ".join(act.id for act in found["next"]) or "nothing"))
    back = ", ".join(act.id for act in found["back"]) or "nothing: it is home"
    text.append(f"way back: {back} (about {span(row.back) or 'no time'})")
    text.append("last lines of the journal:")
    text += [f"  {_line(entry)}" for entry in found["lines"]]
    return "\n".join(line.replace("[", r"\[") for line in text)


def _line(entry: Entry) -> str:
    why = entry.detail.get("reason") or entry.detail.get("text") or ""
    act = entry.act.removeprefix(f"{entry.service}/")
    return f"{rfc3339(entry.at)[:19]} {act:16s} {entry.outcome.value:8s} {entry.by:12s} {why}".rstrip()


def report(*, where: Where = HERE) -> None:
    """Write report.html: one page that needs no network, with charts, every decision, and who did what.

    Example: `landbridge report && xdg-open report.html`
    """
    plan = folder.plan(where)
    with open_journal(where) as journal:
        states = {service: state for service, (_, state) in journal.states().items()}
        entries, commands = journal.entries(), journal.commands()
        resumed = int(journal.fact("resumed") or 0)
        story = tell(plan, states, entries, journal.looks(), commands, now=SystemClock().now(), resumed=resumed)
    path = where.file(folder.REPORT)
    folder.write(path, render(story))
    value = {"file": str(path), "services": len(story.chapters), "requests": story.requests}
    emit(value, where.output, table=f"{path} is written: {story.requests:,} requests counted")
