"""One linked cluster as the leader sees it: what it exports, and which of that answers through its gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from landbridge.agent import names, pods_behind
from landbridge.agent.answers import Book, Key
from landbridge.agent.latency import RoundTrips
from landbridge.agent.links import Link, addresses_of, gateway_endpoint
from landbridge.agent.probe import AGAIN, EVERY, Answer, Prober
from landbridge.agent.resolver import Resolver
from landbridge.agent.watching import Signal, Watch, Watches, lean
from landbridge.clients.kubeconfig import Context
from landbridge.clients.kubernetes import ENDPOINTSLICE, SERVICE, Kubernetes
from landbridge.clock import Clock
from landbridge.envoy.state import Endpoint, sni
from landbridge.model.exports import is_flat
from landbridge.model.service import Manifest

SECONDS = 10.0  # a watch: how long a revoked token or a cut line may go unnoticed
FRESH = 24  # Services asked for in a round by a new connection, of those that others tell of
CANARIES = 8  # Services by which each of the gateway's addresses is asked first


class Remote:
    """Follows the exported Services of `link` and what answers for them; `touch(namespace, service)` says what to look
    at again.
    """

    def __init__(
        self,
        link: Link,
        context: Context,
        prober: Prober,
        clock: Clock,
        signal: Signal,
        touch: Callable[[str, str], None],
        resolver: Resolver,
    ) -> None:
        self.link = link
        self._k8s = Kubernetes(context, name=link.cluster, clock=clock)
        self._prober = prober
        self._signal = signal
        self._touch = touch
        self._resolver = resolver
        self._exported = Watch(
            self._k8s, SERVICE, signal=Signal(), labels=link.exports.selector, keep=_needed, seconds=SECONDS
        )
        self._exported.subscribe(self._service_changed)
        self._slices = Watch(self._k8s, ENDPOINTSLICE, signal=Signal(), keep=pods_behind.small, seconds=SECONDS)
        self._slices.subscribe(self._slice_changed)
        self._behind = pods_behind.Behind()
        self._trips = RoundTrips()
        self._ports: dict[Key, int] = {}
        self._fresh = 0
        self.book = Book()

    async def run(self) -> None:
        """Follow and probe until cancelled."""
        try:
            async with Watches((self._exported, self._slices)):
                while True:
                    began = self._k8s.clock.monotonic()
                    await self._round()
                    await self._k8s.clock.sleep(max(0.1, EVERY - (self._k8s.clock.monotonic() - began)))
        finally:
            await self._k8s.close()

    @property
    def synced(self) -> bool:
        """Whether its exports have been listed, and their pods where they matter; before that nothing is deleted."""
        return self._exported.synced and (self._slices.synced or not self.link.rules.headless)

    @property
    def problem(self) -> str:
        """Why it cannot be read now, empty while it can: what is mirrored stays as it was."""
        return self._exported.error or self._exported.problem or self._slices.error

    @property
    def exported(self) -> Sequence[Manifest]:
        """Its exported Services."""
        return [item for item in self._exported.items if self.link.exports.covers(item)]

    def find(self, namespace: str, service: str) -> Manifest | None:
        """One exported Service, None when it is not."""
        found = self._exported.by_key.get((namespace, service))
        return found if found is not None and self.link.exports.covers(found) else None

    def hostnames(self, namespace: str, service: str) -> Sequence[str] | None:
        """The pods of a headless Service that have host names; None while nobody is behind it."""
        return self._behind.hostnames((namespace, service))

    def pods(self, namespace: str, service: str) -> Sequence[Manifest] | None:
        """The slices with the pods of a Service that is dialled without a gateway; None before they were listed."""
        return self._behind.slices((namespace, service)) if self._slices.synced else None

    def ready(self, namespace: str, service: str) -> bool | None:
        """Whether a Service answers through the gateway; None while nobody knows."""
        return self.book.ready((namespace, service))

    def report(self) -> dict[str, Any]:
        """Whether its gateway answers and how fast, and for how many Services."""
        told = self._trips.report(self._k8s.clock.monotonic())
        ready = sum(self.book.ready(key) is True for key in self._ports)
        problem = "" if told["alive"] else self._trips.problem
        return {"ready": ready, "probed": len(self._ports), "problem": problem} | told

    async def _round(self) -> None:
        """Ask once: each address of the gateway by a few Services, then the others by one that answers."""
        self._ports = dict(self._to_ask())
        if self.synced:
            self.book.keep(self._ports)
        keys = self.book.turn(self._ports)
        if not keys:
            return
        live = await self._alive(keys[:CANARIES])
        if live is None:
            await self._k8s.clock.sleep(
                AGAIN
            )  # one failure is not enough: asked again soon, a dead gateway shows early
            live = await self._alive(keys[:CANARIES])
        if live is None:
            return
        try:
            async with asyncio.timeout(EVERY):  # one that begins to swallow packets now must not hold up the next round
                await self._ask_all(live, self._cheap(live, keys[CANARIES:]))
                if doubtful := self.book.doubtful(keys):
                    await self._k8s.clock.sleep(AGAIN)
                    await self._ask_all(live, doubtful)
        except TimeoutError:
            return

    async def _alive(self, canaries: Sequence[Key]) -> Endpoint | None:
        """An address that answers, None when all are silent."""
        gateways = addresses_of(map(gateway_endpoint, self.link.gateways), self._resolver)
        asked = [(gateway, key) for gateway in gateways for key in canaries]
        answers = await asyncio.gather(*(self._ask(gateway, key) for gateway, key in asked))
        heard = {pair: answer for pair, answer in zip(asked, answers, strict=True) if answer is not Answer.SILENT}
        if not heard:
            if self.book.said_nothing():
                self._changed(self._ports)
            return None
        if self.book.spoke():
            self._changed(self._ports)
        live = next(gateway for gateway, _ in heard)
        for key in canaries:  # any address that has somebody to answer is enough
            said = [heard.get((gateway, key)) for gateway in gateways]
            self._note(key, Answer.READY if Answer.READY in said else heard.get((live, key), Answer.SILENT))
        return live

    async def _ask_all(self, gateway: Endpoint, keys: Sequence[Key]) -> None:
        async def one(key: Key) -> None:
            self._note(key, await self._ask(gateway, key))

        await asyncio.gather(*map(one, keys))

    def _cheap(self, gateway: Endpoint, keys: Sequence[Key]) -> list[Key]:
        """Those of which a connection is kept or nothing is known, and a few of the others: a handshake takes 4 ms."""
        kept = {key for key in keys if self._prober.knows(gateway, self._name(key), self.link.identity)}
        known = [key for key in keys if key not in kept and self.book.ready(key) is not None]
        begin = self._fresh % max(1, len(known))
        self._fresh += FRESH
        left_out = set((known[begin:] + known[:begin])[FRESH:])
        return [key for key in keys if key not in left_out]

    def _name(self, key: Key) -> str:
        return names.health_sni(sni(key[1], key[0], self.link.cluster, self._ports[key]))

    async def _ask(self, gateway: Endpoint, key: Key) -> Answer:
        return await self._prober.ask(gateway, self._name(key), self.link.identity, self._trips)

    def _note(self, key: Key, answer: Answer) -> None:
        if self.book.answered(key, answer):
            self._changed((key,))

    def _changed(self, keys: Sequence[Key] | Mapping[Key, int]) -> None:
        self._signal.pass_on({namespace for namespace, _ in keys})

    def _to_ask(self) -> list[tuple[Key, int]]:
        """By Service, and by pod of a headless one, the first TCP port: health is a Service's, whatever the port."""
        found: list[tuple[Key, int]] = []
        for item in self.exported:
            if is_flat(item):
                continue
            ports = [port for port in self.link.exports.ports(item) if (port.get("protocol") or "TCP") == "TCP"]
            if ports:
                (namespace, name), port = _key(item), int(str(ports[0]["port"]))
                found.append(((namespace, name), port))
                if self.link.rules.headless and names.is_headless(item):
                    pods = self.hostnames(namespace, name) or ()
                    found += [((namespace, f"{pod}.{name}"), port) for pod in pods]
        return found

    def _service_changed(self, _: str, item: Manifest) -> None:
        self._touch(*_key(item))

    def _slice_changed(self, event: str, item: Manifest) -> None:
        """Somebody came or went behind a Service: known at once, and asked for in the next round."""
        for key in self._behind.put(event, item):
            if self.book.hint(key, ready=self._behind.ready(key)):
                self._changed((key,))
            if self._behind.matters(key):
                self._touch(*key)


def _needed(item: Manifest) -> Manifest:
    """What a mirror is made of."""
    spec = item.get("spec") or {}
    kept = {key: spec[key] for key in ("ports", "type", "clusterIP", "sessionAffinity") if key in spec}
    return {key: value for key, value in lean(item).items() if key != "status"} | {"spec": kept}


def _key(item: Manifest) -> Key:
    return item["metadata"]["namespace"], item["metadata"]["name"]
