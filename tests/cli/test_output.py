"""Results: JSON alone on stdout, YAML that reads back to the same, tables that fit what they show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from landbridge.cli.output import seconds_of, span
from landbridge.errors import DocumentError, Exit
from landbridge.judge import Settings
from tests.cli.conftest import Command, plan_of

READING = [
    ["assess"],
    ["plan"],
    ["plan", "--diff"],
    ["connect", "--dry-run"],
    ["status"],
    ["explain", "web"],
    ["report"],
    ["run", "--dry-run"],
    ["rollback", "--all", "--dry-run"],
    ["approve"],
    ["pause", "web"],
    ["resume", "web", "cart"],
    ["check"],
    ["gateways"],
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_json_is_alone_on_stdout_and_yaml_says_the_same(begun: Path, command: Command, arguments: list[str]) -> None:
    found = command(*arguments, "-o", "json")
    assert found.code in {Exit.DONE, Exit.ERROR}, found.err
    value = json.loads(found.out, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    text = command(*arguments, "-o", "yaml").out
    assert "&id" not in text  # aliases are YAML, but no manifest that people review
    documents = list(yaml.safe_load_all(text))
    again = documents if isinstance(value, list) and len(documents) != 1 else documents[0]
    _same(again, value)


def _same(one: object, other: object) -> None:
    """Equal but for the moment at which they were made."""
    if isinstance(one, dict) and isinstance(other, dict):
        assert {**one, "at": 0} == {**other, "at": 0}
    else:
        assert one == other


def test_the_table_of_a_plan_shows_short_dwells_in_seconds(place: Path, command: Command) -> None:
    settings = place / "migration.yaml"
    settings.write_text(settings.read_text() + "\nsteps: [50, 100]\ndwell: 5\n")
    ended = command("plan")
    assert ended.code == Exit.DONE
    assert "10 s" in ended.out
    assert "0 min" not in ended.out


def test_plan_says_how_the_judge_counts(place: Path, command: Command) -> None:
    assert f"bursts: {Settings().bursts.value}" in command("plan").err
    assert f"# The judge counts failures with bursts: {Settings().bursts.value}" in (place / "plan.yaml").read_text()


def test_a_window_of_migration_yaml_is_in_the_plan_and_its_table(place: Path, command: Command) -> None:
    settings = place / "migration.yaml"
    settings.write_text(settings.read_text() + '\nwindows: {wave-1: "Mon-Thu 09:00-16:00"}\n')
    assert "Mon-Thu 09:00-16:00" in command("plan").out
    assert {w.name for w in plan_of(place).waves if w.window} == {"wave-1"}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, ""), (0.2, "0.2 s"), (59, "59 s"), (90, "2 min"), (5000, "83 min"), (7200, "2.0 h")]
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2.5", 2.5), ("7", 7)])
def test_time_spans_that_people_give(text: str, seconds: float) -> None:
    assert seconds_of(text, "--for") == seconds
    with pytest.raises(DocumentError):
        seconds_of(text + "x", "--for")
