"""What the elected gateway agent does for the whole cluster: mirrors, waypoint ports, slices, certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from landbridge.agent import names
from landbridge.agent.confirm import Confirmations
from landbridge.agent.desired import World
from landbridge.agent.endpoints import addresses
from landbridge.agent.identity import Certificates
from landbridge.agent.likeness import is_own
from landbridge.agent.linkbook import LinkBook
from landbridge.agent.mirroring import Mirroring
from landbridge.agent.options import Options
from landbridge.agent.probe import Prober
from landbridge.agent.remote import Remote
from landbridge.agent.resolver import Resolver
from landbridge.agent.space import Space
from landbridge.agent.watching import Signal, Watch
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

log = structlog.get_logger()
AWAITED_SECONDS = 0.1  # while something is awaited that no watch tells, such as a waypoint that is being configured
PATIENT_SECONDS = 1.0  # the same after PATIENCE: a pod that does not come, connections that drain
PATIENCE = 10.0
IDLE_SECONDS = 5.0
SPACES_AT_ONCE = 8
GATHER_SECONDS, LONGEST_SECONDS = 0.03, 0.5  # changes come in swarms: one look for many, and as long a rest as it took


class Duties:
    """Made anew in spirit for each term: what it knows beyond the watches it reads from the cluster's own objects."""

    def __init__(
        self,
        options: Options,
        k8s: Kubernetes,
        services: Watch,
        slices: Watch,
        namespaces: Watch,
        book: LinkBook,
        signal: Signal,
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
        self._resolver = Resolver(k8s.clock, signal.wake)
        self._mirroring = Mirroring(k8s, services, namespaces, self._followed, lambda: book.links)
        self._confirmed = Confirmations()
        self._inhabited: dict[str, set[str]] = {}
        services.subscribe(self._inhabit)
        self._awaited: set[str] = set()
        self._awaited_since = 0.0
        self._problem = ""

    async def run(self) -> None:
        """Do the duties until cancelled; whatever it started ends with it."""
        self._confirmed = Confirmations()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._certificates.run(self._namespaces), name="certificates")
                group.create_task(self._resolver.run(), name="gateways' names")
                self._follow_links(group)
                group.create_task(self._mirroring.run(), name="mirrors")
                while True:
                    began = self._k8s.clock.monotonic()
                    await self._turn(group)
                    took = self._k8s.clock.monotonic() - began
                    await self._signal.wait(self._pause())
                    await self._k8s.clock.sleep(min(max(GATHER_SECONDS, took), LONGEST_SECONDS))
        finally:
            self._spaces, self._remotes = {}, {}
            await self._confirmed.close()

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        self._follow_links(group)
        changed = self._signal.take()
        try:
            interesting = self._namespaces()
            for namespace in sorted(interesting):
                if namespace not in self._spaces:
                    space = Space(self._k8s, namespace, self._confirmed, self._signal)
                    self._spaces[namespace] = (space, group.create_task(space.run(), name=f"namespace {namespace}"))
                    changed.add(namespace)
            todo = sorted((changed | self._awaited) & self._spaces.keys())
            for chunk in (todo[at : at + SPACES_AT_ONCE] for at in range(0, len(todo), SPACES_AT_ONCE)):
                await asyncio.gather(*map(self._reconcile, chunk))
            self._problem = ""
        except LandbridgeError as error:  # cut off, or refused: everything is looked at again
            self._problem = error.what
            self._signal.pass_on(changed)
            self._awaited |= set(self._spaces)
            await self._k8s.clock.sleep(0.5)

    async def _reconcile(self, namespace: str) -> None:
        space = self._spaces[namespace][0]
        waits = await space.reconcile(self._world(namespace), self._mirror_ready, self._pods_of)
        (self._awaited.add if waits else self._awaited.discard)(namespace)

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
                self._mirroring.touch_all(cluster)
        for cluster, link in self._book.links.items():
            context = self._book.context(cluster) if cluster not in self._remotes else None
            if context is not None:
                touch = partial(self._mirroring.touch, cluster)
                remote = Remote(link, context, self._prober, self._k8s.clock, self._signal, touch, self._resolver)
                self._believe(remote)
                task = group.create_task(remote.run(), name=f"remote {cluster}")
                self._remotes[cluster] = (self._book.version(cluster), remote, task)

    def _believe(self, remote: Remote) -> None:
        """What our mirrors' slices say is what a new leader believes until it has probed."""
        for item in self._slices.items:
            name, namespace = names.label(item, names.SERVICE_NAME), item["metadata"]["namespace"]
            mirror = self._services.by_key.get((namespace, name))
            if mirror is not None and names.ours(item) and is_own(mirror, remote.link.cluster):
                remote.book.believe(names.remote_service(mirror), ready=bool(addresses([item])))

    def _namespaces(self) -> set[str]:
        """Namespaces with a leaf or a mirror of ours."""
        return {namespace for namespace, inhabitants in self._inhabited.items() if inhabitants}

    def _inhabit(self, event: str, item: Manifest) -> None:
        """Take note of a leaf or a mirror that came or went."""
        meta = item["metadata"]
        found = self._inhabited.setdefault(meta["namespace"], set())
        if event != "DELETED" and (names.label(item, names.LEAF_OF) or names.is_mirror(item)):
            found.add(meta["name"])
        else:
            found.discard(meta["name"])

    def _world(self, namespace: str) -> World:
        return World.of(namespace, self._services.within(namespace), self._slices.within(namespace))

    def _followed(self) -> dict[str, Remote]:
        return {cluster: remote for cluster, (_, remote, _) in self._remotes.items()}

    def _mirror_ready(self, mirror: Manifest) -> bool | None:
        found = self._remotes.get(names.label(mirror, names.CLUSTER_NAME))
        return found[1].ready(*names.remote_service(mirror)) if found else None

    def _pods_of(self, mirror: Manifest) -> Sequence[Manifest] | None:
        """The slices of a mirror that is dialled without a gateway; None while nobody knows."""
        found = self._remotes.get(names.label(mirror, names.CLUSTER_NAME))
        return found[1].pods(*names.remote_service(mirror)) if found else None

    def report(self) -> dict[str, Any]:
        """What the leader is at, and what it could not do."""
        remotes = {cluster: remote.problem or "followed" for cluster, (_, remote, _) in self._remotes.items()}
        waiting = {name: space.report() for name, (space, _) in self._spaces.items() if space.report()}
        return {
            "problem": self._problem or self._mirroring.problem,
            "remotes": remotes,
            "links": {cluster: remote.report() for cluster, (_, remote, _) in self._remotes.items()},
            "skipped": self._mirroring.skipped,
            "names": dict(self._resolver.problems),
            "waiting": waiting,
            "certificates": self._certificates.problem,
        }
