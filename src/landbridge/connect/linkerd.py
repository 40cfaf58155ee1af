"""Joins two clusters by the Linkerd that they have: accounts, credentials and Links both ways, and nothing of ours.

A Link to the other cluster that people have made is used as it is. What Linkerd runs (gateways, mirror controllers) is
asked for before anything is written, and never installed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from landbridge.clients.kinds import NAMESPACE, SECRET
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clients.linkerd import detect
from landbridge.clock import wait_for
from landbridge.connect import manifests as ours
from landbridge.connect import names
from landbridge.connect.link import kubeconfig
from landbridge.connect.options import Options
from landbridge.errors import AccessError, BlockedError
from landbridge.linkerd import access, link, plane
from landbridge.linkerd.plane import End
from landbridge.linkerd.versions import version_of
from landbridge.model.linkerd import Door, Linkerd
from landbridge.model.service import LINKERD, Manifest, ObjectRef

Progress = Callable[[str], None]
INJECT = "linkerd.io/inject"
MADE = "landbridge.dev/made-by"
PATIENCE = 30.0
NEEDED = (
    ("links.multicluster.linkerd.io", "create"),
    ("links.multicluster.linkerd.io", "patch"),
    ("serviceaccounts", "create"),
    ("secrets", "create"),
    ("secrets", "get"),
    ("clusterroles.rbac.authorization.k8s.io", "create"),
    ("clusterrolebindings.rbac.authorization.k8s.io", "create"),
    ("namespaces", "create"),
    ("configmaps", "create"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """Both ends as found, the source first; `why` says why Linkerd joins them."""

    source: End
    target: End
    why: str

    def end(self, name: str) -> tuple[End, End]:
        """An end and the other one."""
        return (self.source, self.target) if name == self.source.name else (self.target, self.source)


async def choose(source: Kubernetes, target: Kubernetes, options: Options) -> tuple[Ways | None, str]:
    """The ways if Linkerd is to join these clusters, None for our own data plane; and why.

    Raises BlockedError when Linkerd is to and cannot.
    """
    if options.plane not in {plane.AUTO, LINKERD.name}:
        return None, f"dataPlane.plane is {options.plane}"
    found = await asyncio.gather(detect(source), detect(target))
    here, there = (_end(k8s, linkerd, options) for k8s, linkerd in zip((source, target), found, strict=True))
    name, why = plane.decide(options.plane, here, there, options.namespaces)
    if name != LINKERD.name:
        return None, why
    absent = [n for n in options.namespaces if await target.find(NAMESPACE, n) is None]
    if wrong := plane.problems(here, _with_spaces(there, absent), options.namespaces):
        raise BlockedError(
            "\n  ".join(["Linkerd cannot join them:", *(f"{no.where}: {no.what}; {no.advice}" for no in wrong)]),
            where=", ".join(dict.fromkeys(no.where for no in wrong)),
            advice="mend it and run connect again; nothing was written",
        )
    return Ways(source=here, target=there, why=why), why


def _end(k8s: Kubernetes, linkerd: Linkerd | None, options: Options) -> End:
    """An address that people name replaces that of the gateway's Service: `host:port`, all of one port."""
    named = options.gateways.get(k8s.name)
    if not named or linkerd is None or linkerd.door is None:
        return End(k8s.name, linkerd)
    hosts, ports = zip(*(address.rpartition(":")[::2] for address in named), strict=True)
    return End(k8s.name, linkerd, replace(linkerd.door, addresses=tuple(hosts), port=int(ports[0])))


def _with_spaces(end: End, absent: Sequence[str]) -> End:
    """Namespaces that are made now are made with proxies."""
    if end.linkerd is None:
        return end
    return replace(end, linkerd=replace(end.linkerd, injected=(*end.linkerd.injected, *absent)))


def manifests(here: End, there: End, kubeconfig: str = "") -> list[Manifest]:
    """What is written into one cluster, in the order to apply it; credentials only with their content (pure)."""
    assert here.linkerd
    found = access.account(here.linkerd, names.labels())
    if way := way_to(here, there, kubeconfig):
        version = version_of(here.linkerd.minor)
        assert version
        found += [*(link.secrets(way) if kubeconfig else ()), link.manifest(way, version)]
    return found


def way_to(here: End, there: End, kubeconfig: str = "") -> link.Link | None:
    """The Link to write into `here`; None where people have made one themselves."""
    assert here.linkerd
    assert there.linkerd
    door: Door | None = there.entrance
    assert door
    if any(standing.cluster == there.name and not standing.ours for standing in here.linkerd.links):
        return None
    return link.Link(
        here=here.linkerd,
        there=there.linkerd,
        cluster=there.name,
        door=door,
        kubeconfig=kubeconfig,
        labels=names.labels(),
    )


async def connect(
    source: Kubernetes, target: Kubernetes, ways: Ways, options: Options, *, progress: Progress = lambda _: None
) -> None:
    """Write both directions; safe to repeat. Refused before the first write where rights or names are taken."""
    clusters = (source, target)
    await asyncio.gather(*(_check_rights(k8s) for k8s in clusters))
    await asyncio.gather(*(_check_owners(k8s, ways) for k8s in clusters))
    await asyncio.gather(*(_try(k8s, ways) for k8s in clusters))
    for k8s in clusters:
        here, _ = ways.end(k8s.name)
        assert here.linkerd
        for namespace in options.namespaces:
            if await k8s.find(NAMESPACE, namespace) is None:
                await k8s.create(_namespace(namespace))
                progress(f"{k8s.name}: namespace {namespace} made, it was missing")
        for manifest in access.account(here.linkerd, names.labels()):
            await k8s.apply(manifest, force=True)
    configs = await asyncio.gather(*(_credentials(k8s, ways, options) for k8s in clusters))
    for k8s, config in zip(clusters, reversed(configs), strict=True):
        here, there = ways.end(k8s.name)
        for manifest in manifests(here, there, config):
            await k8s.apply(manifest, force=True)
        for manifest in records(there.name, options):
            await k8s.apply(manifest, force=True)
        made = way_to(here, there) is not None
        progress(f"{k8s.name}: {'linked to' if made else 'uses the Link that stands to'} {there.name}")


async def _try(k8s: Kubernetes, ways: Ways) -> None:
    """The API server is asked to take everything, and forgets it: what it would refuse is refused before a write."""
    for manifest in manifests(*ways.end(k8s.name), kubeconfig="{}"):
        await k8s.apply(manifest, force=True, dry_run=True)


async def _credentials(k8s: Kubernetes, ways: Ways, options: Options) -> str:
    """A kubeconfig with everything inline, for the mirror controller reads no files."""
    here, _ = ways.end(k8s.name)
    assert here.linkerd
    name, namespace = f"{access.ACCOUNT}-token", here.linkerd.extension

    async def token() -> dict[str, str] | None:
        data: dict[str, str] = ((await k8s.find(SECRET, name, namespace)) or {}).get("data") or {}
        return data if data.get("token") else None

    what = f"a token for {namespace}/{access.ACCOUNT} in {k8s.name}"
    found = await wait_for(token, what=what, within=PATIENCE, clock=k8s.clock)
    return kubeconfig(k8s.context, k8s.name, found, options.addresses.get(k8s.name, ""))


async def _check_rights(k8s: Kubernetes) -> None:
    answers = await asyncio.gather(*(k8s.can(verb, resource) for resource, verb in NEEDED))
    missing = [f"{verb} {resource}" for (resource, verb), allowed in zip(NEEDED, answers, strict=True) if not allowed]
    if missing:
        raise AccessError(
            f"connect may not do this in {k8s.name}: {', '.join(missing)}",
            where=k8s.name,
            advice="grant it for the whole cluster; docs/permissions.md has the table; nothing was written",
        )


async def _check_owners(k8s: Kubernetes, ways: Ways) -> None:
    """Nobody else's objects may bear these names."""
    foreign = []
    for manifest in manifests(*ways.end(k8s.name), kubeconfig="{}"):
        meta = manifest["metadata"]
        live = await k8s.find(await k8s.kind_of(manifest), meta["name"], meta.get("namespace", ""))
        if live and not names.is_ours(live):
            foreign.append(str(ObjectRef.of(manifest)))
    if foreign:
        raise BlockedError(
            f"these exist in {k8s.name} and are not landbridge's: {', '.join(foreign)}",
            where=k8s.name,
            advice="rename or remove them; landbridge changes only what it made",
        )


def _namespace(name: str) -> Manifest:
    meta = {"name": name, "annotations": {MADE: "landbridge", INJECT: "enabled"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


def records(other: str, options: Options) -> list[Manifest]:
    """A namespace for the run's lease, and what was joined, so that `check` and `disconnect` need no settings."""
    chosen = json.dumps({"namespaces": options.namespaces}, sort_keys=True)
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": names.HOME, "labels": names.labels()}}
    data = {"other": other, "options": chosen, "plane": LINKERD.name}
    return [home, ours.record(names.CONNECTION, names.HOME, data)]
