"""Results go to stdout as a table, JSON or YAML; talk, progress and errors go to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter
from rich.console import Console, RenderableType
from rich.table import Table

from landbridge.errors import DocumentError, LandbridgeError
from landbridge.settings.values import read_duration

talk = Console(stderr=True, highlight=False, soft_wrap=True)
SHOWN_MISTAKES = 50


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What every command takes."""

    directory: Annotated[Path, Parameter(name=["--directory", "-C"], env_var="LANDBRIDGE_DIR")] = Path()
    """The migration's folder."""

    output: Annotated[Format, Parameter(name=["--output", "-o"])] = Format.TABLE
    """How to print the result."""

    def file(self, name: str) -> Path:
        """A document in the migration's folder."""
        return self.directory / name


class _Dumper(yaml.CSafeDumper):
    """Writes out what occurs twice: aliases are YAML, but no manifest that people review."""

    def ignore_aliases(self, data: Any) -> bool:
        """Always."""
        del data
        return True


def as_yaml(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Objects as documents of one YAML file."""
    return str(yaml.dump_all(json.loads(json.dumps(manifests)), Dumper=_Dumper, sort_keys=False))


def emit(value: Any, form: Format, *, table: RenderableType | None = None) -> None:
    """Print one result: `value` as JSON or YAML, or the table made of it."""
    match form:
        case Format.JSON:
            json.dump(value, sys.stdout, indent=1, default=str)
            sys.stdout.write("\n")
        case Format.YAML:
            same = json.loads(json.dumps(value, default=str))
            many = isinstance(same, list) and same and all(isinstance(v, Mapping) and "kind" in v for v in same)
            yaml.dump_all(same if many else [same], sys.stdout, Dumper=_Dumper, sort_keys=False)
        case Format.TABLE:
            width = None if sys.stdout.isatty() else 200  # files and pipes get whole lines
            Console(highlight=False, width=width).print(table if table is not None else value)


def columns(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A table in kubectl's manner: no lines, names in capitals."""
    table = Table(box=None, pad_edge=False, header_style="")
    for name in head:
        table.add_column(name.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def seconds_of(text: str, option: str) -> float:
    """A time span that a person gave to an option: `90s`, `5m`, or a plain number of seconds."""
    try:
        return float(read_duration(float(text) if text.replace(".", "", 1).isdecimal() else text))
    except ValueError as error:
        raise DocumentError(str(error), where=option, advice="give 60s, 5m or a number of seconds") from None


def span(seconds: float) -> str:
    """A time span for people."""
    if seconds < 0.05:
        return ""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def complain(error: LandbridgeError) -> int:
    """Print an error and return the exit code of its class."""
    talk.print(f"[red]error:[/red] {_plain(error.what)}")
    if isinstance(error, DocumentError):
        for mistake in error.mistakes[:SHOWN_MISTAKES]:
            talk.print(f"  {_plain(str(mistake))}")
        if (more := len(error.mistakes) - SHOWN_MISTAKES) > 0:
            talk.print(f"  and {more} more")
    if error.where:
        talk.print(f"  where: {_plain(error.where)}")
    advice = error.advice or ("mend the lines named" if isinstance(error, DocumentError) and error.mistakes else "")
    if advice:
        talk.print(f"  do:    {_plain(advice)}")
    talk.print(f"  see:   {error.page}")
    return int(error.exit_code)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")
