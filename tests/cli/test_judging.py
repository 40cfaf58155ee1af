"""`landbridge judge`: the verdict of a file, its exit code, and every mistake with its line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from landbridge.cli import invoke
from landbridge.errors import Exit
from landbridge.judge.backtest import COLUMNS


def counts(path: Path, bad_new: float, *, seconds: int = 600, weight: int | None = None) -> Path:
    """A recorded stretch: 10 requests a second on the target, 90 on the source, which fails 0.1 %."""
    rng = random.Random(4)
    more = [] if weight is None else [weight]
    rows = [[at, 10, _some(rng, 10, bad_new), 90, _some(rng, 90, 0.001), *more] for at in range(seconds)]
    head = [*COLUMNS, *(["weight"] if more else [])]
    path.write_text("\n".join([",".join(head), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def _some(rng: random.Random, n: int, chance: float) -> int:
    return sum(rng.random() < chance for _ in range(n))


def test_a_worse_target_is_exit_5_and_the_story_has_the_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["judge", str(counts(tmp_path / "c.csv", 0.01)), "--compare"]) == Exit.ROLLED_BACK
    out, err = capsys.readouterr()
    assert err == ""
    assert "verdict:  roll back, the new side is worse" in out
    assert "bound:    at this ratio any test lets" in out
    for rule in ("landbridge", "Flagger, interval 1m, threshold 5", "Argo Rollouts, interval 1m, failureLimit 0"):
        assert rule in out
    assert "Kayenta, growing window, each minute" in out


def test_a_healthy_target_is_exit_0_and_json_is_alone_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["judge", str(counts(tmp_path / "c.csv", 0.001, weight=10)), "-o", "json"]) == Exit.DONE
    found = json.loads(capsys.readouterr().out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert found["decision"] == "advance"
    assert found["decided_at"] is None
    assert found["requests"] == 6000
    assert found["bound"] is None or found["bound"] > 0
    assert found["compared"] == []
    assert found["changes"][-1]["weight"] == 10


def test_a_shorter_dwell_advances_earlier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(counts(tmp_path / "c.csv", 0.001))
    first = []
    for dwell in ("30s", "2m"):
        invoke(["judge", file, "--dwell", dwell, "-o", "json"])
        changes = json.loads(capsys.readouterr().out)["changes"]
        first.append(next(row["time"] for row in changes if row["verdict"] == "advance"))
    assert first == [30.0, 120.0]


def test_a_file_with_a_byte_order_mark_and_one_in_the_migrations_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = counts(tmp_path / "marked.csv", 0.05)
    file.write_text("\ufeff" + file.read_text())
    assert invoke(["judge", "marked.csv", "-C", str(tmp_path)]) == Exit.ROLLED_BACK
    capsys.readouterr()


def test_every_mistake_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.csv"
    file.write_text(",".join(COLUMNS) + "\n1,5,9,10,0\n2,x,1,1,0\n")
    assert invoke(["judge", str(file)]) == Exit.INVALID
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{file}:2: new_bad: 9 bad of 5 requests" in err
    assert f"{file}:3: new_requests: 'x' is not a whole number" in err
    assert "do:    columns: time" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{missing}"], "there is no"),
        (["{folder}"], "cannot be read: Is a directory"),
        (["{binary}"], "this is not UTF-8"),
        (["{counts}", "--alpha", "2"], "alpha"),
        (["{counts}", "--dwell", "3x"], "is not a duration"),
        (["{counts}", "--bursts", "none"], "Choose from"),
        (["{counts}", "--slo-rolls-back"], "needs --slo"),
        (["{counts}", "--must-see", "0.5"], "must-see"),
    ],
)
def test_what_cannot_be_used_is_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"time,new_requests\n\xff\xfe\n")
    places = {
        "missing": str(tmp_path / "missing"),
        "folder": str(tmp_path),
        "binary": str(binary),
        "counts": str(counts(tmp_path / "c.csv", 0.05, seconds=5)),
    }
    assert invoke(["judge", *(argument.format(**places) for argument in arguments)]) == Exit.INVALID
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err
