"""docs/waypoint-rules.md names only what is there: every file, and every test in it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "waypoint-rules.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| rule |")
]


@cache
def written_in(path: str) -> frozenset[str]:
    """The tests of a file, as pytest names them, read without importing it."""
    found: set[str] = set()

    def collect(nodes: list[ast.stmt], before: str) -> None:
        for node in nodes:
            if isinstance(node, ast.ClassDef):
                collect(node.body, f"{before}{node.name}::")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.add(f"{before}{node.name}")

    collect(ast.parse((ROOT / path).read_text()).body, "")
    return frozenset(found)


def test_every_section_of_the_rules_is_there() -> None:
    assert re.findall(r"^## (\d+)\.", PAGE.read_text(), re.MULTILINE) == [str(n) for n in range(1, 14)]
    spike = {row[0].partition(":")[0] for row in ROWS if re.match(r"\d+:", row[0])}
    assert spike == {str(number) for number in range(1, 13)}


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:60] for row in ROWS])
def test_a_rule_names_who_keeps_it_and_what_fails_without(row: list[str]) -> None:
    rule, kept, tested = row
    files = re.findall(r"`([\w/]+\.py)`", kept)
    assert files or kept.startswith("limit: "), rule
    for file in files:
        assert (ROOT / "src" / "landbridge" / file).is_file(), file
    named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", tested)
    assert named, rule
    for path, name in named:
        assert name in written_in(path), f"{path} has no {name}"
