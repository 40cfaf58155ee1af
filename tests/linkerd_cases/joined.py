"""Two clusters with real gateways, waypoints and agents; the gateway of `eks` is dialled by a name of our own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from landbridge.agent import names
from landbridge.agent.direct import is_direct
from landbridge.agent.probe import AGAIN, EVERY, Answer, Prober
from landbridge.clients.kubernetes import ENDPOINTSLICE, SERVICE, Kubernetes
from landbridge.connect import identity
from landbridge.envoy.state import Endpoint, sni
from landbridge.lab import ApiServer
from landbridge.model.service import Manifest
from tests.agent.bed import CLOCK, Bed, http_backend
from tests.agent.cut import Line, line
from tests.agent.pair import Pair

GATEWAY = "gateway.eks.example"
RULES = {"headless": True, "excluded_labels": ["evil", "evil.linkerd/*"], "excluded_annotations": ["evil.linkerd/*"]}
EXPORT = {names.EXPORTED: "true"}
LENGTHS = [30.0, pytest.param(600.0, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])]
"""Seconds of what Linkerd's resync, ten minutes, would mend or spoil; in full with `make soak`."""


class Joined(Pair):
    """What the cases need besides: names of the gateway, a line to the other API server, Services over there."""

    def __init__(self, legacy: Bed, eks: Bed) -> None:
        super().__init__(legacy, eks)
        self.hosts = Path()
        self.line: Line
        self.through = Path()

    def name_gateway(self, *addresses: str) -> None:
        """What DNS says of the gateway's name from now on; nothing: it does not know it."""
        lines = ["127.0.0.1 localhost", *(f"{address} {GATEWAY}" for address in addresses)]
        self.hosts.write_text("\n".join(lines) + "\n")

    async def link(self, *gateways: str, **more: Any) -> None:
        """Write legacy's link to eks."""
        through = more.pop("kubeconfig", self.through.read_bytes())
        told = gateways or (f"{GATEWAY}:15443",)
        await self.secrets(self.legacy, self.eks, *told, kubeconfig=through, mirrors=RULES, **more)

    async def relink(self, *gateways: str) -> None:
        """The same, and wait until the mirrors say so."""
        await self.link(*gateways)
        told = json.dumps(list(gateways or (f"{GATEWAY}:15443",)))

        async def moved() -> bool:
            return all(names.annotation(item, names.GATEWAYS) == told for item in await self._mirrors())

        await self.eventually(moved, f"the mirrors have {told}")

    async def export(self, name: str, **more: Any) -> None:
        """A Service of eks that is exported, with one pod."""
        labels = EXPORT | more.pop("labels", {})
        address = more.pop("address", f"{self.eks.prefix}.103")
        await self.eks.service(name, labels=labels, **more)
        await self.eks.slice(name, address)

    async def served(self, name: str) -> None:
        """Wait until the gateway answers for a Service: it rests up to 12 s between two doors, and a mirror that came
        with pods is ready until it was asked for twice in vain.
        """
        port = (await self.eks.get_service(name))["spec"]["ports"][0]["port"]
        asked = names.health_sni(sni(name, self.eks.namespace, self.eks.cluster, port))
        who = identity.spiffe(self.eks.cluster, names.NAMESPACE, names.GATEWAY)
        prober, gateway = Prober(self.leader.tls_dir), Endpoint(address=f"{self.eks.prefix}.30", port=15443)

        async def answers() -> bool:
            return await prober.ask(gateway, asked, who) is Answer.READY

        try:
            await self.eventually(answers, f"the gateway answers for {name}")
        finally:
            prober.close()

    async def unexport(self, name: str) -> None:
        """Take the label away."""
        patch = {"metadata": {"labels": {names.EXPORTED: None}}}
        await self.eks.k8s.patch(SERVICE, name, patch, self.eks.namespace)

    async def mirror(self, name: str, within: float = 60, *, there: bool = True) -> Manifest:
        """A mirror once it is there; with `there=False` waits until it is gone."""

        async def look() -> Manifest | bool | None:
            found = await self.legacy.k8s.find(SERVICE, name, self.legacy.namespace)
            return found if there else found is None

        found: Manifest = await self.eventually(look, f"the mirror {name} is {'there' if there else 'gone'}", within)
        return found

    async def skipped(self, mirror: str, word: str) -> None:
        """Wait until the leader says of a mirror why it is not there."""
        key = mirror if "/" in mirror else f"{self.legacy.namespace}/{mirror}"
        await self.leader.until(lambda s: word in s["duties"]["skipped"].get(key, ""), f"{mirror}: {word}", 30)

    async def restart_leader(self, *, meanwhile: Sequence[Any] = ()) -> None:
        """Kill the leader, let things happen, and start it again; returns when it leads."""
        assert self.leader.agent is not None
        self.leader.agent.kill()
        await self.leader.agent.wait()
        for happens in meanwhile:
            await happens
        await self.leader.start_agent()
        await self.leader.until(
            lambda s: s["leading"] and s["duties"]["remotes"].get("eks") == "followed", "the leader leads again"
        )

    async def settled(self) -> dict[str, str]:
        """The same once nothing more is written for a round of probes, and every mirror has the note of its ports."""
        seen: list[tuple[float, dict[str, str]]] = []

        async def still() -> bool:
            now, versions = CLOCK.monotonic(), await self.versions()
            if not seen or seen[-1][1] != versions:
                seen.append((now, versions))
            noted = [names.annotation(item, names.PORTS) for item in await self._mirrors()]
            return all(noted) and now - seen[-1][0] > EVERY + AGAIN

        await self.eventually(still, "nothing is written any more")
        return seen[-1][1]

    async def _mirrors(self) -> list[Manifest]:
        found = await self.legacy.k8s.list(SERVICE, self.legacy.namespace)
        return [item for item in found if names.is_mirror(item) and not is_direct(item)]

    async def versions(self) -> dict[str, str]:
        """The version of every mirror and of every slice of ours in legacy."""
        found: dict[str, str] = {}
        for kind in (SERVICE, ENDPOINTSLICE):
            for item in await self.legacy.k8s.list(kind, self.legacy.namespace):
                if names.is_mirror(item) or names.ours(item):
                    found[f"{kind.kind} {item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
        return found


@asynccontextmanager
async def join(servers: tuple[ApiServer, ApiServer], prefix: str, *, exports: str = "") -> AsyncIterator[Joined]:
    """`legacy` with leader (20) and waypoint (11), `eks` with gateway (30) and the exported `web`, served by .103."""
    async with AsyncExitStack() as stack:
        beds: list[Bed] = []
        for server in servers:
            k8s = await stack.enter_async_context(Kubernetes.connect(server.kubeconfig, name=server.name))
            bed = Bed(k8s, server.kubeconfig, prefix, cluster=server.name)
            bed.namespace = beds[0].namespace if beds else bed.namespace
            beds.append(await stack.enter_async_context(bed))
        for number in (103, 104):
            await stack.enter_async_context(http_backend(f"{prefix}.{number}", 8080, f"eks-{number}"))
        joined = Joined(*beds)
        joined.hosts = joined.legacy.folder / "hosts"
        joined.name_gateway(f"{prefix}.30")
        joined.line, joined.through = await stack.enter_async_context(line(servers[1].kubeconfig, joined.legacy.folder))
        await joined.link()
        await joined.secrets(joined.eks, joined.legacy, f"{prefix}.20:15443")
        await joined.export("web")
        joined.gateway = await joined.seat(joined.eks, "gateway", 30, "legacy", exports=exports)
        joined.leader = await joined.seat(joined.legacy, "gateway", 20, "eks", hosts=joined.hosts, exports=exports)
        waypoint = await joined.seat(joined.legacy, "waypoint", 11, "eks", hosts=joined.hosts)
        await joined.legacy.probe(waypoint)
        await joined.ready(is_ready=True)
        yield joined
