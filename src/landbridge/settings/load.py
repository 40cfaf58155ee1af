"""Loads migration.yaml."""

from __future__ import annotations

from pathlib import Path

from landbridge.errors import DocumentError
from landbridge.model.catalog import Catalog
from landbridge.settings.document import Document, read, validate
from landbridge.settings.migration import Migration
from landbridge.settings.names import suggest

FILE = "migration.yaml"
_WORDS = {"provider": "metrics provider", "plane": "data plane"}


def load(path: Path, catalog: Catalog | None = None) -> Migration:
    """The settings in a file, or in the migration's folder; DocumentError names every mistake with its line."""
    file = path / FILE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        advice = "make one with `landbridge init --source CONTEXT --target CONTEXT`, or name its folder with -C"
        raise DocumentError(f"there is no {file}", where=str(file), advice=advice) from None
    except OSError as error:
        why = error.strerror or str(error)
        advice = "see that you may read it, and that it is a file"
        raise DocumentError(f"{file} cannot be read: {why}", where=str(file), advice=advice) from None
    except UnicodeDecodeError as error:
        raise DocumentError(f"{file} cannot be read: {error}", where=str(file), advice="it has to be UTF-8") from None
    return parse(text, file=str(file), catalog=catalog)


def parse(text: str, *, file: str = FILE, catalog: Catalog | None = None) -> Migration:
    """The settings in a text; with a catalog, the names that it knows are looked up too."""
    document = read(text, file)
    if catalog is not None:
        _look_up(document, catalog)
    return validate(Migration, document)


def _look_up(document: Document, catalog: Catalog) -> None:
    data = document.data if isinstance(document.data, dict) else {}
    _known(document, ("router",), data.get("router", "auto"), ("auto", *catalog.routers), "router")
    for side in ("source", "target"):
        cluster = data.get(side)
        kind = cluster.get("kind") if isinstance(cluster, dict) else None
        _known(document, (side, "kind"), kind, catalog.sources, "kind of platform")
    metrics = data.get("metrics")
    for name, known in (("provider", catalog.providers), ("plane", catalog.planes)):
        word = metrics.get(name) if isinstance(metrics, dict) else None
        _known(document, ("metrics", name), word, known, _WORDS[name])
    entries = data.get("accepted")
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        check = entry.get("check") if isinstance(entry, dict) else None
        _known(document, ("accepted", number, "check"), check, catalog.checks, "check")


def _known(document: Document, path: tuple[str | int, ...], name: object, known: tuple[str, ...], what: str) -> None:
    if isinstance(name, str) and known and name not in known:
        document.add(path, f"there is no {what} {name!r}{suggest(name, known)}")
