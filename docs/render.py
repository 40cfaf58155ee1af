"""Writes the generated pages: one for each check, every setting, every command. Run by `make docs`; a test compares."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from landbridge.assess import CHECKS, render_pages
from landbridge.cli import app
from landbridge.settings.reference import render_reference

DOCS = Path(__file__).parent
HIDDEN = ("agent",)


def commands() -> str:
    """The reference of the command line, from its own help."""
    parts = ["# Commands", "Made from `landbridge COMMAND --help` by `make docs`."]
    for name in sorted(name for name in app if not name.startswith("-")):
        if name in HIDDEN:
            continue
        inner = [sub for sub in app[name] if not sub.startswith("-")] if app[name].default_command is None else []
        parts.append(f"## {name}")
        parts += [f"```\n{help_of([name, *([sub] if sub else [])])}\n```" for sub in inner or [""]]
    return "\n\n".join(parts) + "\n"


def help_of(tokens: list[str]) -> str:
    """What `--help` prints, without frames and without the epilogue that all share."""
    out = io.StringIO()
    app.help_formatter = "plain"
    app.help_epilogue = ""
    app.help_print(tokens, console=Console(file=out, width=100, color_system=None))
    return "\n".join(line.rstrip() for line in out.getvalue().strip().splitlines())


def pages() -> dict[Path, str]:
    """Every generated page with its content."""
    found = {DOCS.parent / name: text for name, text in render_pages(CHECKS.values()).items()}
    return found | {DOCS / "migration-yaml.md": render_reference(), DOCS / "commands.md": commands()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
