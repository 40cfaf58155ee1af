"""The docs say what the code does: every error, exit code and command has its place."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

import landbridge
from landbridge.cli import app
from landbridge.errors import Exit, LandbridgeError

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def errors() -> list[type[LandbridgeError]]:
    for module in pkgutil.walk_packages(landbridge.__path__, "landbridge."):
        if not module.name.startswith("landbridge.lab.shop") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[LandbridgeError]] = [LandbridgeError]
    for error in found:
        found += [kind for kind in error.__subclasses__() if kind not in found]
    return [kind for kind in found if kind.__module__.startswith("landbridge.")]


def test_every_error_has_a_section() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    sections = set(re.findall(r"^## (\w+)$", text, re.MULTILINE))
    assert {kind.__name__.lower() for kind in errors()} <= sections


def test_sections_name_the_exit_code_of_their_error() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    said = dict(re.findall(r"^## (\w+)\n\nExit (\d)", text, re.MULTILINE))
    assert {kind.__name__.lower(): str(int(kind.exit_code)) for kind in errors()}.items() <= said.items()


def test_every_exit_code_is_listed() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    assert {str(int(code)) for code in Exit} <= set(re.findall(r"^\| (\d+) \|", text, re.MULTILINE))


def commands() -> list[str]:
    return [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = app[name]
    if command.default_command is None:  # a group
        assert command.help
        return
    assert "Example: `landbridge" in (command.default_command.__doc__ or "")


def test_generated_pages_are_fresh() -> None:
    spec = importlib.util.spec_from_file_location("render", ROOT / "docs" / "render.py")
    assert spec
    assert spec.loader
    render = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(render)
    stale = [str(path.relative_to(ROOT)) for path, text in render.pages().items() if path.read_text() != text]
    assert stale == [], "write them again with `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_architecture_names_every_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    folders = [path.name for path in (ROOT / "src" / "landbridge").iterdir() if (path / "__init__.py").exists()]
    assert [name for name in folders if f"`{name}/`" not in text] == []
