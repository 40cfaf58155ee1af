"""Gives Envoy its files: renamed into place in the right order, and obeyed only when Envoy says so.

Clusters come before the routes that name them, and listeners last (waypoint.md 13.2: the other way round every route
was rejected and never tried again). What is no longer wanted goes in a second pass, after nothing refers to it.
`version_text` of Envoy is the acknowledgement; an active listener proves nothing (13.3).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landbridge.agent.admin import Admin, EnvoyAwayError
from landbridge.clock import Clock
from landbridge.envoy import counters
from landbridge.envoy.discovery import split, version_of
from landbridge.envoy.names import CLUSTERS_FILE, LISTENERS_FILE, ROUTES_FILE
from landbridge.envoy.render import steps

File = tuple[str, bytes]
ACK_SECONDS = 5.0
ACK_POLL = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """What Envoy obeys: the version of each file, and why it does not obey the newest, if so."""

    versions: Mapping[str, str]
    wanted: Mapping[str, str]
    problem: str = ""

    @property
    def active(self) -> bool:
        """Whether everything that was written is obeyed."""
        return not self.problem

    @property
    def generation(self) -> str:
        """One word for the wanted versions together."""
        return hashlib.sha256(json.dumps(dict(self.wanted), sort_keys=True).encode()).hexdigest()[:12]


def adds(old: bytes | None, new: bytes) -> bool:
    """Whether the new file names resources that the old one did not have."""
    return not split(new).keys() <= (split(old).keys() if old else set())


class Files:
    """The folder that Envoy reads. One writer; call `write` again with the same state whenever in doubt."""

    def __init__(self, folder: Path, admin: Admin, clock: Clock) -> None:
        self._folder = folder
        self._admin = admin
        self._clock = clock
        self._wanted: dict[str, str] = {}
        self._uses_routes = False
        self.acknowledged = Acknowledged(versions={}, wanted={}, problem="nothing was written yet")

    async def write(self, files: Sequence[File]) -> Acknowledged:
        """Write what differs, wait for Envoy after each file that brings new names, and say what it obeys."""
        current = {name: content for name, _ in files if (content := self._read(name)) is not None}
        self._uses_routes = any(name == LISTENERS_FILE and ROUTES_FILE.encode() in content for name, content in files)
        for name, content in steps(tuple(current.items()), tuple(files)):
            place(self._folder / name, content)
            self._wanted[name] = version_of(content)
            if not await self._may_go_on(name, new_names=adds(current.get(name), content)):
                break
            current[name] = content
        self._wanted = {name: version_of(content) for name, content in files}
        return await self.check()

    async def check(self) -> Acknowledged:
        """Ask Envoy what it obeys."""
        versions: dict[str, str] = {}
        try:
            versions, refused, warming = await self._ask()
            late = sorted(name for name in self._wanted if self._is_late(name, versions))
            problem = f"Envoy does not obey {', '.join(late)} (refused so far: {refused})" if late else ""
            if not problem and warming[LISTENERS_FILE]:
                problem = "a listener of Envoy is not ready yet"
        except EnvoyAwayError as error:
            problem = error.what
        self.acknowledged = Acknowledged(versions=versions, wanted=dict(self._wanted), problem=problem)
        return self.acknowledged

    async def _may_go_on(self, name: str, *, new_names: bool) -> bool:
        """Wait until Envoy has taken a file. Without new names nothing depends on the order, so nothing is waited
        for; an Envoy that is away reads all files when it starts.
        """
        if not new_names or name not in (CLUSTERS_FILE, LISTENERS_FILE):
            return True
        end = self._clock.monotonic() + ACK_SECONDS
        while self._clock.monotonic() < end:
            asked = self._clock.monotonic()
            try:
                versions, _, warming = await self._ask()
            except EnvoyAwayError:
                return True
            waits = name == CLUSTERS_FILE and warming[CLUSTERS_FILE]
            if versions.get(name) == self._wanted[name] and not waits:
                return True
            await self._clock.sleep(max(ACK_POLL, 2 * (self._clock.monotonic() - asked)))  # asking a large one is work
        return False

    async def _ask(self) -> tuple[dict[str, str], dict[str, int], dict[str, int]]:
        """Versions and refusals by file, and how many clusters and listeners are warming."""
        stats = await self._admin.json(counters.VERSIONS_PATH)
        return counters.acknowledged(stats), counters.refused(stats), counters.warming(stats)

    def _is_late(self, name: str, versions: Mapping[str, str]) -> bool:
        """Whether Envoy should obey a file and does not; a file that nothing subscribes to yet is not late."""
        subscribed = name in versions or name in (CLUSTERS_FILE, LISTENERS_FILE)
        if name == ROUTES_FILE:
            subscribed = self._uses_routes
        return subscribed and versions.get(name) != self._wanted[name]

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return None


def place(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one and nothing between."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.chmod(0o640)
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
