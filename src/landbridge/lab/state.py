"""What a lab writes down about itself, so that any later command finds it: `<folder>/lab.json`."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from landbridge.errors import LandbridgeError
from landbridge.lab.host.processes import get_start
from landbridge.lab.place import MAX_INDEX, ClusterPlace, Site, get_cache, get_cluster, get_site


class Phase(StrEnum):
    """How far a lab is."""

    STARTING = "starting"
    UP = "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabState:
    """One lab: which clusters, with how many nodes, since when, and whose it is.

    `owner` is the process that ends with it (a demo, a test session) or that is still starting it; 0 where nobody.
    """

    index: int
    clusters: tuple[str, ...]
    nodes: int
    phase: Phase
    since: float
    owner: int
    owner_started: str = ""
    version: str = ""
    images: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        """Its place on the machine."""
        return get_site(self.index)

    @property
    def places(self) -> tuple[ClusterPlace, ...]:
        """The places of its clusters."""
        return tuple(get_cluster(self.site, name, n, self.nodes) for n, name in enumerate(self.clusters, 1))

    @property
    def is_abandoned(self) -> bool:
        """Whether its owner died without taking it away."""
        return self.owner != 0 and get_start(self.owner) != self.owner_started


def write(state: LabState) -> None:
    """Write it down."""
    path = state.site.folder / "lab.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(state), indent=1))
    fresh.replace(path)


def read(index: int) -> LabState | None:
    """The lab with this index, or None."""
    try:
        raw = json.loads((get_site(index).folder / "lab.json").read_text())
    except (OSError, ValueError):
        return None
    return LabState(**{**raw, "clusters": tuple(raw["clusters"]), "phase": Phase(raw["phase"])})


def find_all() -> list[LabState]:
    """Every lab on this machine, whatever its phase."""
    return [state for index in find_indexes() if (state := read(index))]


def find_indexes() -> list[int]:
    """Every index that has a folder, also without a readable state in it."""
    folder = get_cache() / "run"
    entries = folder.iterdir() if folder.exists() else ()
    return sorted(int(entry.name) for entry in entries if entry.name.isdigit())


def choose_index(wanted: int | None, taken: Sequence[int]) -> int:
    """The index asked for, or the first free one. Raises LandbridgeError when it is taken."""
    if wanted is None:
        return next(index for index in range(MAX_INDEX + 1) if index not in taken)
    if wanted in taken:
        raise LandbridgeError(
            f"lab {wanted} is there already",
            advice=f"`landbridge lab down --index {wanted}`, or choose another index",
        )
    return wanted


@contextmanager
def locked() -> Iterator[None]:
    """Only one command at a time chooses indexes and clears away."""
    path = get_cache() / "run" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.set_inheritable(file.fileno(), False)
        yield
