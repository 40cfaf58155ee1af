"""The journal: all or nothing, first receipts hold, commands in order, a damaged disk told plainly."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from landbridge.model.journal import Entry, Outcome, Phase, Receipt, State, What
from landbridge.model.plan import Act, ActKind
from landbridge.model.service import ObjectRef, ServiceId, Side
from landbridge.run.journal import Journal, JournalError, Seen

WEB = ServiceId("shop", "web")
REF = ObjectRef("apps/v1", "Deployment", "shop", "web")


def entry(act: str, outcome: Outcome, at: float = 1.0, receipts: tuple[Receipt, ...] = ()) -> Entry:
    return Entry(service=WEB, act=act, outcome=outcome, at=at, receipts=receipts)


def started(act: str, kind: ActKind = ActKind.SCALE) -> Entry:
    detail: dict[str, object] = {"act": {"id": act, "kind": kind.value, "args": {}, "guards": [], "note": ""}}
    return Entry(service=WEB, act=act, outcome=Outcome.STARTED, at=1.0, detail=detail)


def receipt(replicas: int) -> Receipt:
    return Receipt(side=Side.SOURCE, ref=REF, prior={"spec": {"replicas": replicas}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".landbridge" / "journal.db"


def test_a_state_and_its_lines_are_written_together_and_once(path: Path) -> None:
    with Journal(path) as journal:
        state = State(service=WEB, phase=Phase.MOVING, done=("a",), weight=5)
        assert journal.advance(3, state, 1.0, [entry("a", Outcome.DONE)])
        assert not journal.advance(3, state, 2.0, [entry("a", Outcome.DONE)])
        assert len(journal.entries()) == 1
    with Journal(path) as journal:
        assert journal.state(WEB) == (3, state)
        assert journal.states() == {WEB: (3, state)}


def test_what_is_open_survives_and_a_weight_taken_back_takes_all(path: Path) -> None:
    with Journal(path) as journal:
        for name in ("w5", "w50"):
            journal.append(started(name, ActKind.WEIGHT))
        journal.append(started("pin", ActKind.PIN))
        journal.append(entry("w50", Outcome.UNDONE))
        assert journal.open == {"pin": str(WEB)}
    with Journal(path) as journal:
        assert journal.open == {"pin": str(WEB)}
        assert journal.begun["w5"] == Act(id="w5", kind=ActKind.WEIGHT)


def test_the_first_receipt_of_an_object_holds_until_the_act_is_taken_back(path: Path) -> None:
    with Journal(path) as journal:
        journal.append(started("scale"))
        journal.append(entry("scale", Outcome.NOTE, receipts=(receipt(4),)))
        journal.append(entry("scale", Outcome.NOTE, receipts=(receipt(0),)))
        assert journal.receipts("scale") == (receipt(4),)
        journal.append(entry("scale", Outcome.UNDONE))
        journal.append(entry("scale", Outcome.NOTE, receipts=(receipt(7),)))
        assert journal.receipts("scale") == (receipt(7),)


def test_commands_of_another_process_are_read_in_order(path: Path) -> None:
    with Journal(path) as journal, Journal(path) as other:
        other.command(What.PAUSE, WEB, "ada", 1.0)
        other.command(What.ROLLBACK, None, "bob", 1.0)
        found = journal.commands()
        assert [(c.what, c.service, c.by) for c in found] == [(What.PAUSE, WEB, "ada"), (What.ROLLBACK, None, "bob")]
        assert journal.commands(found[0].seq) == found[1:]


def test_a_look_keeps_judge_and_cursor_or_nothing(path: Path) -> None:
    seen = Seen(service=WEB, weight=5, counts={"legacy": {}}, judge={"x": 1}, verdict="hold", reason="dwell")
    with Journal(path) as journal:
        journal.looked(7.0, {"pod": {"a": 1}}, [seen])
        with pytest.raises(TypeError):
            journal.looked(8.0, {"pod": {"a": 2}}, [seen, replace(seen, judge={"bad": object()})])
        assert journal.judge(WEB) == {"x": 1}
        assert journal.fact("cursor") == {"at": 7.0, "cursor": {"pod": {"a": 1}}}
        assert [look["at"] for look in journal.looks(WEB)] == [7.0]


def test_export_is_one_json_object_a_line(path: Path, tmp_path: Path) -> None:
    with Journal(path) as journal:
        journal.append(entry("scale", Outcome.NOTE, receipts=(receipt(4),)))
        journal.export(tmp_path / "journal.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert lines[0]["receipts"][0]["prior"] == {"spec": {"replicas": 4}}
    assert lines[0]["at"] == "1970-01-01T00:00:01.000000Z"


def test_only_the_owner_may_read_it_and_git_ignores_it(path: Path) -> None:
    Journal(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_a_file_that_is_no_journal_is_told_plainly(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(JournalError, match="cannot keep the journal: file is not a database"):
        Journal(path)
