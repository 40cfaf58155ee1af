"""The migration's folder: its documents read and written, never half, and the clusters it speaks of."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from landbridge.catalog import get_catalog
from landbridge.cli.output import Where, talk
from landbridge.clients import kubeconfig
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import DocumentError, LandbridgeError, Mistake
from landbridge.model.inventory import Finding, Inventory
from landbridge.model.plan import Plan
from landbridge.plan import load as load_plan
from landbridge.settings import Migration
from landbridge.settings import load as load_settings
from landbridge.settings.migration import Cluster

INVENTORY, ASSESSMENT, PLAN, REPORT = "inventory.json", "assessment.json", "plan.yaml", "report.html"
T = TypeVar("T")

inventories = TypeAdapter(Inventory)
assessments = TypeAdapter(tuple[Finding, ...])


def write(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole: after a full disk or a kill the old one is still there."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        why = error.strerror or str(error)
        advice = "see that you may write to this folder and that there is room; nothing was changed"
        raise LandbridgeError(f"{path} cannot be written: {why}", where=str(path.parent), advice=advice) from None


def settings(where: Where) -> Migration:
    """migration.yaml, with every mistake named at once."""
    if where.directory.is_file():
        raise _no_folder(where.directory)
    return load_settings(where.directory, get_catalog())


def inventory(where: Where) -> Inventory:
    """inventory.json, or an error that says how to make it."""
    return _read(where.file(INVENTORY), inventories, "landbridge inventory")


def assessment(where: Where) -> tuple[Finding, ...]:
    """assessment.json, or an error that says how to make it."""
    return _read(where.file(ASSESSMENT), assessments, "landbridge assess")


def plan(where: Where) -> Plan:
    """plan.yaml, or an error that says how to make it."""
    return plan_of(where.file(PLAN))


def plan_of(path: Path) -> Plan:
    """The plan in a file."""
    return load_plan(text(path, "make it with `landbridge plan`"), file=str(path))


def text(path: Path, advice: str) -> str:
    """The text in a file; DocumentError with this advice where it cannot be read."""
    try:
        return _bytes(path, advice).decode("utf-8-sig")  # spreadsheets write the mark
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        mistake = Mistake(file=str(path), line=line, path="", message="this is not UTF-8")
        raise DocumentError(f"{path} is not text", [mistake], where=str(path), advice=advice) from None


def _read(path: Path, adapter: TypeAdapter[T], command: str) -> T:
    try:
        return adapter.validate_json(_bytes(path, f"make it with `{command}`"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DocumentError(
            f"{path} is not what this version writes: {place}: {first['msg']}".replace(": : ", ": "),
            where=str(path),
            advice=f"make it again with `{command}`",
        ) from None


def _bytes(path: Path, advice: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        if not path.parent.is_dir():
            advice = "name the migration's folder with -C; `landbridge init` makes one"
            raise DocumentError(f"there is no folder {path.parent}", where=str(path.parent), advice=advice) from None
        raise DocumentError(f"there is no {path}", where=str(path), advice=advice) from None
    except NotADirectoryError:
        raise _no_folder(path.parent) from None
    except OSError as error:
        why = error.strerror or str(error)
        advice = "see that you may read it, and that it is a file"
        raise DocumentError(f"{path} cannot be read: {why}", where=str(path), advice=advice) from None


def _no_folder(path: Path) -> DocumentError:
    advice = "-C wants the migration's folder, which holds migration.yaml"
    return DocumentError(f"{path} is a file, not a folder", where=str(path), advice=advice)


@asynccontextmanager
async def clusters(migration: Migration) -> AsyncIterator[tuple[Kubernetes, Kubernetes]]:
    """Clients for both clusters, named as in migration.yaml."""
    async with (
        Kubernetes.connect(context_of(migration.source), name=migration.source.name) as source,
        Kubernetes.connect(context_of(migration.target), name=migration.target.name) as target,
    ):
        yield source, target


def context_of(cluster: Cluster) -> kubeconfig.Context:
    """The kubeconfig's context of one end."""
    return kubeconfig.load(cluster.kubeconfig or None).context(cluster.context)


def go(work: Coroutine[Any, Any, T]) -> T:
    """Run something async to its end.

    The task's own result is None: when `asyncio.run` ends, `signal` writes out the repr of the main task for an error
    message that nobody sees, and of an inventory of 10,000 objects that takes as long as reading it.
    """
    found: list[T] = []

    async def keep() -> None:
        found.append(await work)

    asyncio.run(keep())
    return found[0]


def plan_reader(path: Path) -> Callable[[], Plan]:
    """Gives the plan as it is on the disk now; one that has become wrong is reported, and the last good one kept."""
    seen: dict[str, Any] = {}

    def read() -> Plan:
        mark = path.stat().st_mtime_ns if path.exists() else 0
        if seen.get("mark") != mark:
            try:
                seen["plan"] = plan_of(path)
            except DocumentError as error:
                if "plan" not in seen:
                    raise
                talk.print(f"{error.what}: going on with the plan as it was")
                for mistake in error.mistakes:
                    talk.print(f"  {mistake}")
            seen["mark"] = mark
        found: Plan = seen["plan"]
        return found

    return read
