"""Whatever is wrong with what a person gives: an exit code, what, where, what to do now; never a traceback."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from landbridge.cli import invoke
from landbridge.errors import AccessError, Exit
from landbridge.run import journal as journal_module
from landbridge.run import runner
from landbridge.run import status as projection
from landbridge.run.journal import FOLDER
from tests.cli.conftest import Command, Ended


def refused(ended: Ended, code: Exit, *said: str) -> None:
    """It ended with this code and said all of that, with where and what to do, on stderr alone."""
    assert ended.code == code, ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    for text in (*said, "error: ", "  where: ", "  do:    "):
        assert text in ended.err


def test_every_mistake_of_migration_yaml_is_told_at_once_with_its_line(place: Path, command: Command) -> None:
    file = place / "migration.yaml"
    good = file.read_text()
    file.write_text(good + "\nstepz: [1]\nwindows: {wave-1: nine to four}\n")
    line = len(good.splitlines()) + 2
    refused(
        command("plan"),
        Exit.INVALID,
        f"{file} has 2 mistakes",
        f"{file}:{line}: stepz: is not a setting; did you mean 'steps'?",
        f"{file}:{line + 1}: windows.wave-1: 'nine to four' has to be like `09:00-16:00`",
    )


def test_every_mistake_of_plan_yaml_is_told_at_once_with_its_line(place: Path, command: Command) -> None:
    file = place / "plan.yaml"
    text = file.read_text().replace("kind: ready", "kind: redy", 1).replace("percent: 5,", "percent: 500,", 1)
    file.write_text(text)
    lines = [1 + next(n for n, line in enumerate(text.splitlines()) if w in line) for w in ("redy", "percent: 500")]
    refused(
        command("run", "--yes"),
        Exit.INVALID,
        "2 mistakes",
        f"{file}:{lines[0]}:",
        "'redy' is not known; did you mean 'ready'?",
        f"{file}:{lines[1]}:",
        "percent has to be a whole number from 0 to 100",
    )


@pytest.mark.parametrize("name", ["migration.yaml", "plan.yaml", "inventory.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: [\n", b"{", b"[]", b"", b"a\x00b"])
def test_documents_that_are_none(place: Path, command: Command, name: str, content: bytes) -> None:
    file = place / name
    file.write_bytes(content)
    refused(command("plan", "--diff"), Exit.INVALID, str(file))


@pytest.mark.parametrize("name", ["migration.yaml", "plan.yaml", "inventory.json"])
def test_documents_that_cannot_be_opened(place: Path, command: Command, name: str) -> None:
    file = place / name
    file.unlink()
    refused(command("plan", "--diff"), Exit.INVALID, f"there is no {file}")
    file.mkdir()
    refused(command("plan", "--diff"), Exit.INVALID, f"{file} cannot be read", "irectory")


def test_a_folder_that_is_missing(tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("status", "report"):
        code = invoke([name, "-C", str(tmp_path / "nowhere")])
        refused(Ended(int(code), *capsys.readouterr()), Exit.INVALID, "there is no folder", "with -C")


@pytest.mark.parametrize("name", ["plan", "status"])
def test_a_file_in_place_of_the_folder(
    place: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    capsys.readouterr()
    code = invoke([name, "-C", str(place / "plan.yaml")])
    refused(Ended(int(code), *capsys.readouterr()), Exit.INVALID, "plan.yaml is a file, not a folder", "-C wants")


@pytest.mark.parametrize(("name", "file"), [("assess", "assessment.json"), ("plan", "plan.yaml")])
def test_a_folder_that_cannot_be_written(place: Path, command: Command, name: str, file: str) -> None:
    before = (place / file).read_bytes()
    (place / f".{file}.new").mkdir()  # root may write everywhere else
    refused(command(name), Exit.ERROR, f"{place / file} cannot be written: Is a directory", "nothing was changed")
    assert (place / file).read_bytes() == before


def test_settings_that_may_not_be_read_say_why_in_words(place: Path, command: Command) -> None:
    (place / "migration.yaml").unlink()
    (place / "migration.yaml").mkdir()
    ended = command("plan")
    refused(ended, Exit.INVALID, "migration.yaml cannot be read: Is a directory", "see that you may read it")
    assert "Errno" not in ended.err


def test_a_journal_that_may_not_be_written_asks_for_the_right(begun: Path) -> None:
    told = journal_module._told(begun / FOLDER / "journal.db", sqlite3.OperationalError("attempt to write a readonly"))
    assert "the right to write this file and its folder" in told.advice


@pytest.mark.parametrize("wave", ["0", "-1", "99"])
def test_a_wave_that_the_plan_does_not_have(place: Path, command: Command, wave: str) -> None:
    refused(
        command("run", "--yes", f"--wave={wave}"),
        Exit.INVALID,
        f"there is no wave {wave}",
        "--wave",
        "1 ground, 2 join",
    )


def test_a_rollback_of_everything_and_of_one(begun: Path, command: Command) -> None:
    refused(command("rollback", "web", "--all"), Exit.INVALID, "contradict each other")


def test_one_cluster_is_no_migration(tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = invoke(["init", "--source", "eks", "--target", "eks", "-C", str(tmp_path / "new")])
    refused(Ended(int(code), *capsys.readouterr()), Exit.INVALID, "source and target are the same context: eks")
    names = ["--source-name", "one", "--target-name", "one"]
    code = invoke(["init", "--source", "legacy", "--target", "eks", *names, "-C", str(tmp_path / "new")])
    refused(Ended(int(code), *capsys.readouterr()), Exit.INVALID, "both clusters would be called one")


def test_a_kubeconfig_that_is_nowhere_is_named(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    refused(command("inventory"), Exit.ACCESS, "your kubeconfig has none at all", "/nowhere/config")
    monkeypatch.setenv("KUBECONFIG", str(place))
    refused(command("inventory"), Exit.INVALID, "this kubeconfig cannot be read: Is a directory")


def test_a_context_that_is_unknown(place: Path, command: Command) -> None:
    file = place / "migration.yaml"
    file.write_text(file.read_text().replace("context: legacy", "context: legcy"))
    refused(command("inventory"), Exit.ACCESS, "there is no context 'legcy'", "did you mean 'legacy'?", "eks")


def test_clusters_that_do_not_answer(begun: Path, command: Command) -> None:
    for arguments in (["inventory"], ["run", "--yes"], ["connect"], ["disconnect"], ["retire"], ["rotate", "eks"]):
        refused(command(*arguments), Exit.ACCESS, "cannot be reached")


@pytest.mark.parametrize("content", [b"garbage" * 1000, None, b"half"])
def test_a_journal_that_is_broken(begun: Path, command: Command, content: bytes | None) -> None:
    file = begun / FOLDER / "journal.db"
    whole = file.read_bytes()
    for beside in file.parent.glob("journal.db-*"):
        beside.unlink()
    match content:
        case None:
            with sqlite3.connect(file) as database:
                database.execute('UPDATE states SET state = \'{"phase": "flying"}\'')
        case b"half":
            file.write_bytes(whole[: len(whole) // 2])
        case _:
            file.write_bytes(content)
    for arguments in (["status"], ["explain", "web"], ["report"], ["rollback", "web", "--dry-run"]):
        refused(command(*arguments), Exit.ERROR, str(file), "bring it back from a copy")


def test_no_run_has_begun(place: Path, command: Command) -> None:
    for arguments in (["status"], ["explain", "web"], ["pause"], ["retire"], ["report"]):
        refused(command(*arguments), Exit.INVALID, "no run has begun here", "landbridge run")


@pytest.mark.parametrize("name", ["explain", "pause", "resume", "approve", "rollback", "retire", "run"])
def test_a_service_that_is_unknown_has_the_nearest_known_one(begun: Path, command: Command, name: str) -> None:
    refused(command(name, "shop/paymnts"), Exit.INVALID, "no service 'shop/paymnts'; did you mean 'shop/payments'?")
    refused(command(name, "crat"), Exit.INVALID, "there is no service 'crat'; did you mean 'cart'?")


def test_two_unknown_services_are_both_told(begun: Path, command: Command) -> None:
    refused(command("pause", "crat", "shop/wev"), Exit.INVALID, "did you mean 'cart'?", "did you mean 'shop/web'?")


def test_a_cluster_that_is_unknown(place: Path, command: Command) -> None:
    refused(command("rotate", "legcy"), Exit.INVALID, "there is no cluster 'legcy'; did you mean 'legacy'?")


def test_a_time_span_that_is_none(begun: Path, command: Command) -> None:
    refused(command("retire", "--for", "soon"), Exit.INVALID, "'soon' is not a duration", "--for")


def test_nobody_says_yes(place: Path, command: Command) -> None:
    ended = command("run")
    assert (ended.code, ended.out) == (Exit.INVALID, "")
    assert "give --yes" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "Unknown command"),
        (["statsu"], "status"),
        (["run", "--wave", "x"], "--wave"),
        (["status", "-o", "xml"], "Choose from"),
        (["init", "--source", "legacy"], "--target"),
        (["explain"], "SERVICE"),
    ],
)
def test_usage(kubeconfig: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert invoke(arguments) == Exit.INVALID
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_kubeconfigs_that_are_none(tmp_path: Path, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig.write_text("a: [")
    code = invoke(["init", "--source", "legacy", "--target", "eks", "-C", str(tmp_path / "new")])
    refused(Ended(int(code), *capsys.readouterr()), Exit.INVALID, "this kubeconfig is not YAML", f"{kubeconfig}:2")


def test_init_does_not_write_over_what_is_there(place: Path, command: Command) -> None:
    before = (place / "migration.yaml").read_text()
    refused(command("init", "--source", "legacy", "--target", "eks"), Exit.INVALID, "exists", "--force")
    assert (place / "migration.yaml").read_text() == before


def test_a_defect_is_told_as_one_and_shown_when_asked(
    begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("two\nlines")

    broken: Callable[..., None] = breaks
    monkeypatch.setattr(projection, "read_status", broken)
    ended = command("status")
    assert ended.code == Exit.ERROR
    assert "error: defect: RuntimeError: two\n" in ended.err
    assert "LANDBRIDGE_DEBUG=1" in ended.err
    monkeypatch.setenv("LANDBRIDGE_DEBUG", "1")
    with pytest.raises(RuntimeError):
        command("status")


def test_a_plan_that_became_wrong_does_not_hide_how_a_run_ended(
    begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object, **__: object) -> None:
        (begun / "plan.yaml").write_text("waves: [")
        raise AccessError("nobody answers", where="here", advice="look")

    monkeypatch.setattr(runner, "run", fails)
    refused(command("run", "--yes"), Exit.ACCESS, "nobody answers")


def test_interrupted(begun: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(projection, "read_status", stops)
    ended = command("status")
    assert ended.code == 130
    assert "nothing is lost" in ended.err
