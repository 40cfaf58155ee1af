"""The truth of a run: what was done, seen, decided and asked for, in one SQLite file that survives a kill -9."""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter

from landbridge.clock import rfc3339
from landbridge.errors import LandbridgeError
from landbridge.model.journal import Command, Entry, Outcome, Receipt, State, What
from landbridge.model.look import Cursor
from landbridge.model.plan import Act, ActKind
from landbridge.model.service import ServiceId

FOLDER = ".landbridge"
RESTORE = "bring it back from a copy; journal.jsonl says what was done, and the clusters stay as they are meanwhile"
_SCHEMA = Path(__file__).with_name("journal.sql").read_text(encoding="utf-8")
T = TypeVar("T")
_STATE = TypeAdapter(State)
_ACT = TypeAdapter(Act)
_RECEIPTS = TypeAdapter(tuple[Receipt, ...])


class JournalError(LandbridgeError):
    """The journal cannot be read or written; the run ends, and resumes where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the observer keeps for one service with a look: the counts, the judge's state and its verdict."""

    service: ServiceId
    weight: int
    counts: Mapping[str, Any]
    judge: Mapping[str, Any]
    verdict: str
    reason: str


class Journal:
    """Append-only lines and the state of each service; every write is on the disk before it returns.

    One process writes entries, states and looks (the runner); any may add commands and read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            _make_folder(path.parent)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=30)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
            self._db.executescript(_SCHEMA)
            path.chmod(0o600)
            self.begun: dict[str, Act] = {}
            """Every act that was ever begun, as it was then; by id."""
            self.open: dict[str, str] = {}
            """Acts that were begun and not taken back, with their services."""
            self.taken_back = 0
            """How often an act was taken back: what was worked out from `open` before is stale."""
            for row in self._db.execute("SELECT service, act, outcome, detail FROM entries ORDER BY seq"):
                self._follow(row[0], row[1], row[2], json.loads(row[3]))
        except (sqlite3.Error, OSError) as error:
            raise _told(path, error) from None
        except (ValueError, KeyError, TypeError) as error:
            raise _strange(path, error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing is lost by not doing so."""
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Make all writes of the block one: all of them are kept, or none."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            raise _told(self.path, error) from None
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        if self._db.in_transaction:
            try:
                self._db.execute("ROLLBACK")
            except sqlite3.Error as error:
                raise _told(self.path, error) from None

    def _rows(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        named = args[0] if args and isinstance(args[0], dict) else args
        try:
            return self._db.execute(query, named).fetchall()
        except sqlite3.Error as error:
            raise _told(self.path, error) from None

    def append(self, entry: Entry) -> None:
        """Write one line."""
        row = (
            str(entry.service),
            entry.act,
            entry.outcome.value,
            entry.at,
            entry.by,
            json.dumps(entry.detail),
            _RECEIPTS.dump_json(entry.receipts).decode(),
        )
        with self.writing():
            self._db.execute(
                "INSERT INTO entries (service, act, outcome, at, by, detail, receipts) VALUES (?,?,?,?,?,?,?)", row
            )
        self._follow(str(entry.service), entry.act, entry.outcome.value, entry.detail)

    def entries(self, service: ServiceId | None = None, act: str = "") -> list[Entry]:
        """The lines in their order, of one service or act if asked."""
        wanted = {"service": str(service or ""), "act": act}
        where = " AND ".join(f"{name} = :{name}" for name, value in wanted.items() if value) or "TRUE"
        rows = self._rows(  # an OR in the condition would read every line ever written, for each act anew
            f"SELECT service, act, outcome, at, by, detail, receipts FROM entries WHERE {where} ORDER BY seq",  # noqa: S608
            wanted,
        )
        return [self._understood(_entry, row) for row in rows]

    def _understood(self, read: Callable[[Any], T], value: Any) -> T:
        try:
            return read(value)
        except (ValueError, KeyError, TypeError) as error:
            raise _strange(self.path, error) from None

    def _follow(self, service: str, act_id: str, outcome: str, detail: Mapping[str, Any]) -> None:
        """Keep `begun` and `open`; taking one weight back takes back every weight of the service."""
        if outcome == Outcome.STARTED.value and not detail.get("undo"):
            self.begun[act_id] = _ACT.validate_python(detail["act"])
            self.open[act_id] = service
        elif outcome == Outcome.UNDONE.value and act_id in self.begun:
            weights = self.begun[act_id].kind is ActKind.WEIGHT
            for other in [o for o, of in self.open.items() if weights and of == service]:
                if self.begun[other].kind is ActKind.WEIGHT:
                    del self.open[other]
            self.open.pop(act_id, None)
            self.taken_back += 1

    def receipts(self, act: str) -> tuple[Receipt, ...]:
        """What an act replaced since it was last begun afresh; the first value seen of each object holds."""
        found: dict[tuple[str, str], Receipt] = {}
        for entry in self.entries(act=act):
            if entry.outcome is Outcome.UNDONE:
                found.clear()
            for receipt in entry.receipts:
                found.setdefault((receipt.side.value, f"{receipt.ref.api_version} {receipt.ref}"), receipt)
        return tuple(found.values())

    def states(self) -> dict[ServiceId, tuple[int, State]]:
        """The newest state of each service with its number."""
        rows = self._rows("SELECT service, MAX(n), state FROM states GROUP BY service")
        read = _STATE.validate_json
        return {ServiceId.parse(name): (n, self._understood(read, text)) for name, n, text in rows}

    def state(self, service: ServiceId) -> tuple[int, State] | None:
        """The newest state of one service with its number."""
        rows = self._rows("SELECT n, state FROM states WHERE service = ? ORDER BY n DESC LIMIT 1", str(service))
        return (rows[0][0], self._understood(_STATE.validate_json, rows[0][1])) if rows else None

    def advance(self, n: int, state: State, at: float, entries: Iterable[Entry] = ()) -> bool:
        """Write a service's state number `n` with the lines that led to it; False if it is there already."""
        with self.writing():
            text = _STATE.dump_json(state).decode()
            done = self._db.execute(
                "INSERT OR IGNORE INTO states (service, n, state, at) VALUES (?,?,?,?)",
                (str(state.service), n, text, at),
            )
            if done.rowcount:
                for entry in entries:
                    self.append(entry)
            return bool(done.rowcount)

    def command(self, what: What, service: ServiceId | None, by: str, at: float) -> Command:
        """Ask for something; the runner reads it within a second, or when it starts."""
        with self.writing():
            seq = self._db.execute(
                "INSERT INTO commands (what, service, by, at) VALUES (?,?,?,?) RETURNING seq",
                (what.value, str(service or ""), by, at),
            ).fetchone()[0]
        return Command(seq=seq, what=what, service=service, by=by, at=at)

    def last_command(self) -> int:
        """The sequence number of the newest command, 0 without any."""
        return int(self._rows("SELECT COALESCE(MAX(seq), 0) FROM commands")[0][0])

    def commands(self, after: int = 0) -> list[Command]:
        """Everything asked for after a sequence number."""
        rows = self._rows("SELECT seq, what, service, by, at FROM commands WHERE seq > ? ORDER BY seq", after)
        return [
            Command(seq=seq, what=What(what), service=ServiceId.parse(name) if name else None, by=by, at=at)
            for seq, what, name, by, at in rows
        ]

    def looked(self, at: float, cursor: Cursor, seen: Sequence[Seen]) -> None:
        """Keep a look: counts and verdict of each service, its judge's state, and the cursor, all or nothing."""
        with self.writing():
            self._db.executemany(
                "INSERT INTO looks (at, service, weight, counts, verdict, reason) VALUES (?,?,?,?,?,?)",
                [(at, str(s.service), s.weight, json.dumps(s.counts), s.verdict, s.reason) for s in seen],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO judges (service, state, at) VALUES (?,?,?)",
                [(str(s.service), json.dumps(s.judge), at) for s in seen],
            )
            self.put("cursor", {"at": at, "cursor": cursor})

    def looks(self, service: ServiceId | None = None, since: float = 0.0) -> Iterator[dict[str, Any]]:
        """What was read and decided each second: at, service, weight, counts, verdict, reason."""
        rows = self._rows(
            "SELECT at, service, weight, counts, verdict, reason FROM looks"
            " WHERE at >= ?1 AND (?2 = '' OR service = ?2) ORDER BY seq",
            since,
            str(service or ""),
        )
        for at, name, weight, counts, verdict, reason in rows:
            yield {
                "at": at,
                "service": name,
                "weight": weight,
                "counts": json.loads(counts),
                "verdict": verdict,
                "reason": reason,
            }

    def last_of(self, service: ServiceId, lines: int) -> list[dict[str, Any]]:
        """The newest looks of a service, oldest first."""
        rows = self._rows(
            "SELECT at, weight, counts, verdict, reason FROM looks WHERE service = ? ORDER BY seq DESC LIMIT ?",
            str(service),
            lines,
        )
        names = ("at", "weight", "counts", "verdict", "reason")
        return [dict(zip(names, row, strict=True)) | {"counts": json.loads(row[2])} for row in reversed(rows)]

    def last_looks(self) -> dict[ServiceId, dict[str, Any]]:
        """The newest look of each service with its judge's state: at, verdict, reason, judge."""
        found: dict[ServiceId, dict[str, Any]] = {}
        for name, at, verdict, reason, state in self._rows(
            "SELECT l.service, l.at, l.verdict, l.reason, j.state FROM looks l"
            " JOIN (SELECT service, MAX(seq) AS seq FROM looks GROUP BY service) m ON m.seq = l.seq"
            " LEFT JOIN judges j ON j.service = l.service"
        ):
            found[ServiceId.parse(name)] = {
                "at": at,
                "verdict": verdict,
                "reason": reason,
                "judge": json.loads(state) if state else None,
            }
        return found

    def judge(self, service: ServiceId) -> dict[str, Any] | None:
        """The judge's state after the last look of a service."""
        rows = self._rows("SELECT state FROM judges WHERE service = ?", str(service))
        return json.loads(rows[0][0]) if rows else None

    def forget_judge(self, service: ServiceId) -> None:
        """A new attempt begins with a new judge."""
        with self.writing():
            self._db.execute("DELETE FROM judges WHERE service = ?", (str(service),))

    def put(self, key: str, value: Any) -> None:
        """Keep one fact, such as the run's id or the cursor."""
        with self.writing():
            self._db.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?,?)", (key, json.dumps(value)))

    def fact(self, key: str, default: Any = None) -> Any:
        """A fact kept before."""
        rows = self._rows("SELECT value FROM facts WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else default

    def export(self, path: Path) -> None:
        """Write the lines as JSON, one a line, for git; looks and judges stay here."""
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in map(_line, self.entries()))
        temporary = path.with_name(path.name + ".new")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise _told(path, error) from None


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")


def _told(path: Path, error: Exception) -> JournalError:
    full = "full" in str(error) or getattr(error, "errno", None) == 28
    advice = "make room and start again: the run goes on where it was" if full else "check the disk and start again"
    if "readonly" in str(error) or "unable to open" in str(error) or getattr(error, "errno", None) == errno.EACCES:
        advice = "you need the right to write this file and its folder, also to look: whoever reads joins its locks"
    if "not a database" in str(error) or "malformed" in str(error):
        advice = RESTORE
    return JournalError(f"cannot keep the journal: {error}", where=str(path), advice=advice)


def _strange(path: Path, error: Exception) -> JournalError:
    why = str(error).splitlines()[0]
    return JournalError(f"the journal holds what this version cannot read: {why}", where=str(path), advice=RESTORE)


def _entry(row: tuple[Any, ...]) -> Entry:
    service, act, outcome, at, by, detail, receipts = row
    return Entry(
        service=ServiceId.parse(service),
        act=act,
        outcome=Outcome(outcome),
        at=at,
        by=by,
        detail=json.loads(detail),
        receipts=_RECEIPTS.validate_json(receipts),
    )


def _line(entry: Entry) -> dict[str, Any]:
    return {
        "at": rfc3339(entry.at),
        "service": str(entry.service),
        "act": entry.act,
        "outcome": entry.outcome.value,
        "by": entry.by,
        "detail": dict(entry.detail),
        "receipts": _RECEIPTS.dump_python(entry.receipts, mode="json"),
    }
