"""Brings a lab up and takes it away: two or more real Kubernetes clusters on this machine."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from landbridge.clock import Clock, SystemClock
from landbridge.errors import DocumentError, LandbridgeError
from landbridge.lab import state as states
from landbridge.lab.clear import clear, keep_logs
from landbridge.lab.cluster import control, node
from landbridge.lab.cluster.authority import merge_kubeconfigs, write_kubeconfig
from landbridge.lab.cluster.cluster import get_plane, start_cluster
from landbridge.lab.cluster.control import ControlPlane
from landbridge.lab.databases import Databases, start_databases
from landbridge.lab.databases import read as read_databases
from landbridge.lab.host import limits, network, packages, programs
from landbridge.lab.host.command import marked
from landbridge.lab.host.processes import get_pid, get_start, stop
from landbridge.lab.host.programs import API_ONLY, KUBERNETES, PACKAGES, Say
from landbridge.lab.images import build
from landbridge.lab.images import store as stores
from landbridge.lab.place import (
    MAX_CLUSTERS,
    MAX_INDEX,
    MAX_NODES,
    ClusterPlace,
    Site,
    get_cache,
    get_kept_limit,
    get_site,
)
from landbridge.lab.state import LabState, Phase

CLUSTERS = ("legacy", "eks")
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A running lab."""

    state: LabState

    @property
    def kubeconfig(self) -> Path:
        """One kubeconfig with a context per cluster, named as the cluster."""
        return self.state.site.kubeconfig

    @property
    def clusters(self) -> tuple[ClusterPlace, ...]:
        """Its clusters, in the order they were named."""
        return self.state.places

    def cluster(self, name: str) -> ClusterPlace:
        """The cluster of this name. Raises LandbridgeError that names those there are."""
        for place in self.clusters:
            if place.name == name:
                return place
        known = ", ".join(place.name for place in self.clusters)
        raise LandbridgeError(f"lab {self.state.index} has no cluster {name!r}", advice=f"it has {known}")

    @property
    def images(self) -> dict[str, str]:
        """References of the images that every cluster has, by what they are."""
        return self.state.images

    @property
    def databases(self) -> Databases | None:
        """PostgreSQL and Redis, where the lab was brought up with them."""
        return read_databases(self.state.site)

    async def load_image(self, archive: Path, clusters: Sequence[str] = ()) -> None:
        """Load an OCI archive into every node of the named clusters, or of all."""
        places = [self.cluster(name) for name in clusters] or self.clusters
        await asyncio.gather(*(node.load_image(n, archive) for place in places for n in place.nodes))

    async def stop_apiserver(self, cluster: str, *, clock: Clock | None = None) -> None:
        """End a cluster's API server at once, as a crash would; pods and their traffic go on."""
        daemon = control.get_apiserver(self._get_plane(cluster))
        pid = get_pid(daemon.pidfile)
        await stop([pid] if pid else [], clock=clock or SystemClock(), grace=0)

    async def start_apiserver(self, cluster: str, *, clock: Clock | None = None) -> None:
        """Start it again and wait until it is ready."""
        await control.start_apiserver(self._get_plane(cluster), clock=clock or SystemClock())

    def _get_plane(self, cluster: str) -> ControlPlane:
        found = {name: path for name in API_ONLY if (path := programs.find(name))}
        return get_plane(self.state.site, self.cluster(cluster), found)

    def describe(self) -> dict[str, Any]:
        """What `lab up -o json` prints; other programs rely on it."""
        return {
            "index": self.state.index,
            "kubeconfig": str(self.kubeconfig),
            "clusters": [_describe(place) for place in self.state.places],
            "images": self.images,
            "databases": _describe_databases(self.state.site),
        }


def _describe_databases(site: Site) -> dict[str, str] | None:
    """Where they are, and the file with the password, which is printed nowhere."""
    found = read_databases(site)
    if not found:
        return None
    return {"postgres": found.postgres, "redis": found.redis, "login": str(site.folder / "databases.json")}


def _describe(place: ClusterPlace) -> dict[str, Any]:
    return {
        "name": place.name,
        "context": place.name,
        "kubeconfig": str(place.kubeconfig),
        "netns": place.netns,
        "node_ip": place.ip,
        "version": f"v{KUBERNETES}",
        "audit": str(place.audit),
        "logs": str(place.folder / "log"),
    }


async def start_lab(
    *,
    clusters: Sequence[str] = CLUSTERS,
    nodes: int = 1,
    databases: bool = False,
    index: int | None = None,
    owner: int = 0,
    say: Say = print,
    clock: Clock | None = None,
) -> Lab:
    """Bring a lab up and leave it running. `owner` is a pid: once that process is dead, the next lab clears this away.

    Raises LandbridgeError with advice where the machine cannot carry it; nothing is left behind then.
    """
    clock = clock or SystemClock()
    _check(clusters, nodes, index)
    packages.check_root()
    needed = {**packages.NODE, **packages.SHELL, **(packages.STORE if databases else {})}
    await packages.provide(needed, say=say)
    found = await programs.provide(PACKAGES, say=say, clock=clock)
    state = await _claim(clusters, nodes, index, owner or os.getpid(), clock)
    try:
        return await _start(state, found, databases=databases, owned=owner != 0, say=say, clock=clock)
    except BaseException as error:
        kept = keep_logs(state.site, get_cache() / "failed")
        await clear(state.site, clock=clock)
        if isinstance(error, LandbridgeError) and not error.advice:
            error.advice = f"the logs are in {kept}"
        raise


async def build_lab(*, say: Say = print, clock: Clock | None = None) -> None:
    """Have the packages and programs of every lab at hand, so that starting one is quick."""
    packages.check_root()
    await packages.provide({**packages.NODE, **packages.SHELL, **packages.STORE}, say=say)
    await programs.provide(PACKAGES, say=say, clock=clock or SystemClock())


def _check(clusters: Sequence[str], nodes: int, index: int | None) -> None:
    if not 0 < len(set(clusters)) == len(clusters) <= MAX_CLUSTERS:
        raise DocumentError(f"a lab has 1 to {MAX_CLUSTERS} clusters of different names, not {', '.join(clusters)}")
    for name in clusters:
        if not _NAME.fullmatch(name):
            raise DocumentError(
                f"{name!r} cannot be a cluster's name", advice="at most 32 of a to z, 0 to 9 and -, letters first"
            )
    if not 0 < nodes <= MAX_NODES:
        raise DocumentError(f"a cluster of the lab has 1 to {MAX_NODES} nodes, not {nodes}")
    if index is not None and not 0 <= index <= MAX_INDEX:
        raise DocumentError(f"a lab's index is 0 to {MAX_INDEX}, not {index}")


async def _claim(clusters: Sequence[str], nodes: int, index: int | None, owner: int, clock: Clock) -> LabState:
    """Take a free index, after clearing away what dead labs left."""
    with states.locked():
        await clear_abandoned(clock=clock)
        state = LabState(
            index=states.choose_index(index, states.find_indexes()),
            clusters=tuple(clusters),
            nodes=nodes,
            phase=Phase.STARTING,
            since=clock.now(),
            owner=owner,
            owner_started=get_start(owner),
            version=f"v{KUBERNETES}",
        )
        states.write(state)
    return state


async def _start(
    state: LabState, found: dict[str, Path], *, databases: bool, owned: bool, say: Say, clock: Clock
) -> Lab:
    began = clock.monotonic()
    site = state.site
    marked.set(site.folder)
    site.run.mkdir(parents=True, exist_ok=True)
    images = await build.get_images(found["pause"])
    store = await stores.provide(list(images.values()), build.get_folder(), say=say, clock=clock)
    say(f"starting {' and '.join(state.clusters)} (Kubernetes {state.version}, lab {state.index})")
    limits.raise_inotify(get_kept_limit(), say=say)
    await network.make_bridge(site)
    starting = [start_cluster(site, place, found, store, clock=clock) for place in state.places]
    await _run_all(starting + ([start_databases(site, clock=clock)] if databases else []))
    configs = [yaml.safe_load(place.kubeconfig.read_text()) for place in state.places]
    write_kubeconfig(site.kubeconfig, merge_kubeconfigs(configs))
    kept = state if owned else replace(state, owner=0, owner_started="")
    kept = replace(kept, phase=Phase.UP, images={name: image.reference for name, image in images.items()})
    states.write(kept)
    say(f"up in {clock.monotonic() - began:.1f} s")
    return Lab(state=kept)


async def _run_all(work: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Run all at once; the first error ends the others, so that nothing is started after it, and is raised alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed


async def stop_lab(index: int, *, clock: Clock | None = None) -> None:
    """Take a lab away, whatever its state; one that is not there is fine."""
    await clear(get_site(index), clock=clock or SystemClock())


async def clear_abandoned(*, clock: Clock) -> list[int]:
    """Take away every lab whose owner died, and folders without a state; returns their indexes."""
    found = [(index, states.read(index)) for index in states.find_indexes()]
    dead = [index for index, state in found if state is None or state.is_abandoned]
    for index in dead:
        await clear(get_site(index), clock=clock)
    return dead


def get_lab(index: int | None = None) -> Lab:
    """The running lab with this index, or the only one. Raises LandbridgeError where that is none or not clear."""
    running = [state for state in states.find_all() if state.phase is Phase.UP and not state.is_abandoned]
    chosen = [state for state in running if index is None or state.index == index]
    if len(chosen) == 1:
        return Lab(state=chosen[0])
    if not chosen:
        raise LandbridgeError("no such lab runs", advice="`landbridge lab up` starts one")
    indexes = ", ".join(str(state.index) for state in chosen)
    raise LandbridgeError(f"several labs run: {indexes}", advice="say which one with --index")


@asynccontextmanager
async def up(
    *,
    clusters: Sequence[str] = CLUSTERS,
    nodes: int = 1,
    databases: bool = False,
    index: int | None = None,
    say: Say = print,
    clock: Clock | None = None,
) -> AsyncIterator[Lab]:
    """A lab for the time of a block; it goes away with it, and with the process at the latest by the next lab."""
    lab = await start_lab(
        clusters=clusters, nodes=nodes, databases=databases, index=index, owner=os.getpid(), say=say, clock=clock
    )
    try:
        yield lab
    finally:
        await stop_lab(lab.state.index, clock=clock)
