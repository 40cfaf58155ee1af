"""What the commands to a run share: its journal, whether it is going on, who asks, and which services are meant."""

from __future__ import annotations

import fcntl
import getpass
import socket
from collections.abc import Collection, Mapping

from landbridge.cli.output import Where
from landbridge.clock import SystemClock
from landbridge.errors import DocumentError, Mistake
from landbridge.model.plan import Plan
from landbridge.model.service import ServiceId
from landbridge.run import expiry
from landbridge.run.journal import FOLDER, Journal
from landbridge.run.status import read_status
from landbridge.settings.names import suggest


def open_journal(where: Where) -> Journal:
    """The journal of a run that has begun here."""
    path = where.file(FOLDER) / "journal.db"
    if not path.exists():
        raise DocumentError("no run has begun here", where=str(path), advice="begin one with `landbridge run`")
    return Journal(path)


def is_running(where: Where) -> bool:
    """Whether a runner holds the folder's lock."""
    try:
        with (where.file(FOLDER) / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def left_alone(where: Where, plan: Plan, service: ServiceId | None = None) -> str:
    """What splits, or that of one service, do that no runner stands behind; empty where one is at work."""
    if is_running(where) or not (where.file(FOLDER) / "journal.db").exists():
        return ""
    now = SystemClock().now()
    with open_journal(where) as journal:
        rows = [row for row in read_status(journal, plan, now).rows if service in {None, row.service}]
        found = expiry.find(journal, plan, rows)
    return found.told(now) if found else ""


def person() -> str:
    """Who asks, as the journal keeps it: `ada@laptop`."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def chosen(services: tuple[str, ...], plan: Plan) -> frozenset[ServiceId]:
    """The services named, in full or by the name alone where that is clear; DocumentError has the nearest known."""
    known = {str(entry.service): entry.service for wave in plan.waves for entry in wave.services}
    short: dict[str, list[ServiceId]] = {}
    for service in known.values():
        short.setdefault(service.name, []).append(service)
    mistakes = [
        Mistake(file="plan.yaml", line=None, path="", message=_unknown(name, known, short))
        for name in services
        if name not in known and len(short.get(name, ())) != 1
    ]
    if mistakes:
        advice = "`landbridge status` lists them all"
        raise DocumentError("these are no services of the plan", mistakes, where="plan.yaml", advice=advice)
    return frozenset(known.get(name) or short[name][0] for name in services)


def _unknown(name: str, known: Collection[str], short: Mapping[str, Collection[ServiceId]]) -> str:
    if several := short.get(name):
        return f"there are several {name!r}: {', '.join(map(str, sorted(several)))}"
    return f"there is no service {name!r}{suggest(name, known if '/' in name else [*known, *short])}"
