"""docs/linkerd-cases.md has every case, and every test that it names is there and bears the case's name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.test_waypoint_rules import written_in

PAGE = Path(__file__).parents[2] / "docs" / "linkerd-cases.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| case |")
]
CASES = [f"{kind}{n}" for kind, last in (("I", 11), ("U", 31), ("M", 4), ("A", 20)) for n in range(1, last + 1)]
OURS = "tests/linkerd_cases/"


def test_every_case_is_there_once() -> None:
    assert [row[0] for row in ROWS] == CASES


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_case_names_its_test_or_why_it_has_none(row: list[str]) -> None:
    case, what, tested = row
    assert what
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tested)
    assert named or tested.startswith("does not apply: "), case
    for path, name in named:
        assert name in written_in(path), f"{path} has no {name}"
        if path.startswith(OURS):
            assert f"_{case[0].lower()}{int(case[1:]):02d}_" in f"{name}_", f"{name} does not bear the name {case}"


def test_every_case_that_has_a_test_here_is_in_the_table() -> None:
    page = PAGE.read_text()
    for file in sorted((Path(__file__).parents[1] / "linkerd_cases").glob("test_*.py")):
        for name in written_in(f"{OURS}{file.name}"):
            for kind, number in re.findall(r"_([iuma])(\d\d)(?=_)", name):
                assert f"| {kind.upper()}{int(number)} |" in page, name
