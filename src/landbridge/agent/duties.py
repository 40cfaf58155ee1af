"""What the elected gateway agent does for the whole cluster: mirrors, waypoint ports, slices, certificates."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from landbridge.agent import mirrors, names
from landbridge.agent.confirm import Confirmations
from landbridge.agent.desired import World
from landbridge.agent.endpoints import addresses
from landbridge.agent.identity import Certificates
from landbridge.agent.linkbook import LinkBook
from landbridge.agent.mirrors import Apply, Delete, Skip
from landbridge.agent.options import Options
from landbridge.agent.probe import Prober
from landbridge.agent.remote import Remote
from landbridge.agent.several import several
from landbridge.agent.space import Space
from landbridge.agent.split import declared
from landbridge.agent.watching import Pace, Signal, Watch
from landbridge.clients.answers import ConflictError, ForbiddenError, NotFoundError
from landbridge.clients.kubernetes import HTTPROUTE, SERVICE, TRAFFICSPLIT, Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

log = structlog.get_logger()
AWAITED_SECONDS = 0.1  # while something is awaited that no watch tells, such as a waypoint that is being configured
PATIENT_SECONDS = 1.0  # the same after PATIENCE: a pod that does not come, connections that drain
PATIENCE = 10.0
IDLE_SECONDS = 5.0
DENIED_SECONDS = 30.0


class Duties:
    """Made anew in spirit for each term: what it knows beyond the watches it reads from the cluster's own objects."""

    def __init__(
        self, options: Options, k8s: Kubernetes, services: Watch, slices: Watch, book: LinkBook, signal: Signal
    ) -> None:
        self._k8s = k8s
        self._services = services
        self._slices = slices
        self._book = book
        self._signal = signal
        self._prober = Prober(options.tls_dir, k8s.clock)
        self._certificates = Certificates(options, k8s, book)
        self._spaces: dict[str, tuple[Space, asyncio.Task[None]]] = {}
        self._remotes: dict[str, tuple[str, Remote, asyncio.Task[None]]] = {}
        self._denied: dict[str, float] = {}
        self._skipped: dict[str, str] = {}
        self._confirmed = Confirmations()
        self._awaited: set[str] = set()
        self._awaited_since = 0.0
        self._problem = ""
        self._pace = Pace(k8s.clock, Signal(), times=3.0)
        self._worlds: tuple[tuple[int, int], dict[str, World]] = ((-1, -1), {})
        self._mirrored: tuple[object, ...] = ()

    async def run(self) -> None:
        """Do the duties until cancelled; whatever it started ends with it."""
        self._confirmed = Confirmations()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._certificates.run(self._namespaces), name="certificates")
                while True:
                    await self._pace.rest()
                    with self._pace.work():
                        await self._turn(group)
                    await self._signal.wait(self._pause())
        finally:
            self._spaces, self._remotes = {}, {}
            await self._confirmed.close()

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        self._follow_links(group)
        changed = self._signal.take()
        try:
            await self._mirror()
            interesting = self._namespaces()
            for namespace in sorted(interesting):
                if namespace not in self._spaces:
                    space = Space(self._k8s, namespace, self._confirmed, self._signal)
                    self._spaces[namespace] = (space, group.create_task(space.run(), name=f"namespace {namespace}"))
                    changed.add(namespace)
            looked = sorted((changed | self._awaited) & self._spaces.keys())
            asked = [self._spaces[space][0].reconcile(self._world(space), self._mirror_ready) for space in looked]
            for namespace, waits in zip(looked, await several(asked), strict=True):
                (self._awaited.add if waits else self._awaited.discard)(namespace)
            self._problem = ""
        except LandbridgeError as error:  # cut off, or refused: everything is looked at again
            self._problem = error.what
            self._signal.pass_on(changed)
            self._awaited |= set(self._spaces)
            await self._k8s.clock.sleep(0.5)

    def _pause(self) -> float:
        """How long to wait for a change before looking again."""
        now = self._k8s.clock.monotonic()
        if not self._awaited:
            self._awaited_since = now
            return IDLE_SECONDS
        return AWAITED_SECONDS if now - self._awaited_since < PATIENCE else PATIENT_SECONDS

    def _follow_links(self, group: asyncio.TaskGroup) -> None:
        """One Remote a link, begun again when its Secret changes."""
        for cluster, (version, _, task) in list(self._remotes.items()):
            if self._book.version(cluster) != version or cluster not in self._book.links:
                task.cancel()
                del self._remotes[cluster]
        for cluster, link in self._book.links.items():
            context = self._book.context(cluster) if cluster not in self._remotes else None
            if context is not None:
                remote = Remote(link, context, self._prober, self._k8s.clock, self._signal)
                self._believe(remote)
                task = group.create_task(remote.run(), name=f"remote {cluster}")
                self._remotes[cluster] = (self._book.version(cluster), remote, task)

    def _believe(self, remote: Remote) -> None:
        """What our mirrors' slices say is what a new leader believes until it has probed."""
        for item in self._slices.items:
            name, namespace = names.label(item, names.SERVICE_NAME), item["metadata"]["namespace"]
            mirror = self._services.by_key.get((namespace, name))
            if mirror is not None and names.ours(item) and mirrors.is_own(mirror, remote.link.cluster):
                service = names.annotation(mirror, names.REMOTE_NAME).partition(".")[0]
                remote.believe(namespace, service, ready=bool(addresses([item])))

    async def _mirror(self) -> None:
        """Make the mirrors of every link right, and take away those of links that are gone."""
        now = self._k8s.clock.monotonic()
        self._denied = {space: at for space, at in self._denied.items() if now - at < DENIED_SECONDS}
        seen = (
            self._services.revision,
            *((cluster, remote, remote.revision) for cluster, (_, remote, _) in self._remotes.items()),
            *sorted({*self._denied, *self._book.links}),
        )
        if seen == self._mirrored and not self._skipped:
            return
        self._skipped = {}
        for _, remote, _ in self._remotes.values():
            if remote.synced:
                spaces = {item["metadata"]["namespace"] for item in remote.exported} - self._denied.keys()
                local = self._services.by_key
                changes = mirrors.plan(remote.link, remote.exported, local, namespaces=spaces, in_use=())
                await several(map(self._change, changes))
        gone = {names.label(item, names.CLUSTER_NAME) for item in self._services.items if _is_mirror(item)}
        for cluster in gone - self._book.links.keys():
            for item in [item for item in self._services.items if mirrors.is_own(item, cluster)]:
                meta = item["metadata"]
                await self._change(
                    Delete(namespace=meta["namespace"], name=meta["name"], version=meta["resourceVersion"])
                )
        self._mirrored = seen

    async def _change(self, change: mirrors.Change) -> None:
        try:
            match change:
                case Skip(namespace=namespace, name=name, reason=reason):
                    self._skipped[f"{namespace}/{name}"] = reason
                case Delete(namespace=namespace, name=name, version=version):
                    if await self._in_use(namespace, name):
                        self._skipped[f"{namespace}/{name}"] = "no longer exported, but a split sends traffic there"
                    else:
                        await self._k8s.delete(SERVICE, name, namespace, version=version)
                        log.info("mirror deleted", namespace=namespace, name=name)
                case Apply(manifest=manifest):
                    await self._apply(manifest)
        except ConflictError:  # somebody was faster: the next look decides
            return

    async def _apply(self, manifest: Manifest) -> None:
        meta = manifest["metadata"]
        try:
            if (meta["namespace"], meta["name"]) in self._services.by_key:
                await self._k8s.apply(manifest, force=True, manager=names.MANAGER)
            else:  # never apply over a Service that a user made this moment
                await self._k8s.create(manifest, manager=names.MANAGER)
                log.info("mirror made", namespace=meta["namespace"], name=meta["name"])
        except (NotFoundError, ForbiddenError) as error:
            self._denied[meta["namespace"]] = self._k8s.clock.monotonic()
            self._skipped[f"{meta['namespace']}/{meta['name']}"] = error.what

    async def _in_use(self, namespace: str, mirror: str) -> bool:
        """Whether a split of the namespace gives a mirror a weight; an unreadable answer counts as yes."""
        splits = await self._listed(TRAFFICSPLIT, namespace)
        routes = await self._listed(HTTPROUTE, namespace)
        services = {names.label(item, names.LEAF_OF) for item in self._world(namespace).services.values()}
        found = [declared(name, splits, routes) for name in services if name]
        return any(weights.get(mirror) for split in found if split for weights in split.weights.values())

    async def _listed(self, kind: Any, namespace: str) -> list[Manifest]:
        try:
            return list(await self._k8s.list(kind, namespace))
        except NotFoundError:  # the kind is not installed
            return []

    def _namespaces(self) -> set[str]:
        """Namespaces with a leaf or a mirror of ours."""
        return {
            item["metadata"]["namespace"]
            for item in self._services.items
            if names.label(item, names.LEAF_OF) or _is_mirror(item)
        }

    def _world(self, namespace: str) -> World:
        """One namespace of the cluster as it is now; all of them are sorted out at once, when something has changed."""
        seen = (self._services.revision, self._slices.revision)
        if self._worlds[0] != seen:
            self._worlds = (seen, World.each(self._services.items, self._slices.items))
        return self._worlds[1].get(namespace) or World({})

    def _mirror_ready(self, mirror: Manifest) -> bool | None:
        found = self._remotes.get(names.label(mirror, names.CLUSTER_NAME))
        service = names.annotation(mirror, names.REMOTE_NAME).partition(".")[0]
        return found[1].ready(mirror["metadata"]["namespace"], service) if found else None

    def report(self) -> dict[str, Any]:
        """What the leader is at, and what it could not do."""
        remotes = {cluster: remote.problem or "followed" for cluster, (_, remote, _) in self._remotes.items()}
        waiting = {name: space.report() for name, (space, _) in self._spaces.items() if space.report()}
        return {
            "problem": self._problem,
            "remotes": remotes,
            "links": {cluster: remote.report() for cluster, (_, remote, _) in self._remotes.items()},
            "skipped": dict(self._skipped),
            "waiting": waiting,
            "certificates": self._certificates.problem,
        }


def _is_mirror(service: Manifest) -> bool:
    return names.label(service, names.MIRRORED) == "true" and names.label(service, names.MANAGED_BY) == "landbridge"
