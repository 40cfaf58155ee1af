"""Who calls whom, as far as configuration tells (pure).

A name of a Service counts where it stands as a host: `name.namespace`, `name.namespace.svc...` anywhere; the bare
`name` only beside `//`, `@` or `:port`, or as the whole value of a variable that says host, address or URL.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter

from landbridge.model.inventory import Edge, Service
from landbridge.model.manifest import (
    NONE,
    Fields,
    containers,
    kind_of,
    name_of,
    namespace_of,
    pod_spec,
    selects,
    subject,
)
from landbridge.model.service import Manifest, ObjectRef, ServiceId, Workload

_HOST = re.compile(r"(//|@)?\b([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)(:\d+)?")
_SAYS_HOST = re.compile(r"(HOST|ADDR|ADDRESS|URL|URI|ENDPOINT|SERVER|SERVICE|TARGET|UPSTREAM)S?$", re.IGNORECASE)
_PLACED = re.compile(r"[.:@]|//")
"""Most texts hold nothing that could place a name, and are done with at once."""
_NOBODY: Mapping[str, ServiceId] = {}
SHARED = "ConfigMap "  # how evidence begins that several workloads may share

Names = Mapping[str, Mapping[str, ServiceId]]


def find_edges(
    objects: Iterable[Manifest], services: Iterable[Service], workloads: Iterable[Workload]
) -> tuple[Edge, ...]:
    """Every call that configuration, network policies and ingresses tell of; a workload's calls to itself left out."""
    names: dict[str, dict[str, ServiceId]] = defaultdict(dict)
    fronts: dict[ObjectRef, set[ServiceId]] = defaultdict(set)
    placed: dict[str, list[Service]] = defaultdict(list)
    for service in services:
        names[service.id.namespace][service.id.name] = service.id
        placed[service.id.namespace].append(service)
        for ref in service.workloads:
            fronts[ref].add(service.id)
    near: dict[str, list[Workload]] = defaultdict(list)
    for workload in workloads:
        near[workload.ref.namespace].append(workload)
    kinds: dict[str, list[Manifest]] = defaultdict(list)
    for item in objects:
        kinds[kind_of(item)].append(item)
    found: dict[ObjectRef, dict[ServiceId, str]] = defaultdict(dict)
    maps = {(namespace_of(item), name_of(item)): item for item in kinds["ConfigMap"]}
    calls: dict[tuple[str, str], dict[ServiceId, str]] = {}
    known = {workload.ref for running in near.values() for workload in running}
    for item in (item for kind in sorted({ref.kind for ref in known}) for item in kinds[kind]):
        if (ref := ObjectRef.of(item)) in known:
            found[ref] = _workload(pod_spec(item), ref.namespace, names, maps, calls)
    policies = (_policy(item, placed[namespace_of(item)], near[namespace_of(item)]) for item in kinds["NetworkPolicy"])
    for caller, callee, evidence in chain(*(_ingress(item, names) for item in kinds["Ingress"]), *policies):
        found[caller] = {callee: evidence} | found[caller]  # a new one: those of one ConfigMap are shared
    ordered = ((caller, sorted(found[caller].items(), key=_callee)) for caller in sorted(found, key=_REF))
    return tuple(
        Edge(caller=caller, callee=callee, evidence=why)
        for caller, told in ordered
        for own in (fronts.get(caller, ()),)
        for callee, why in told
        if callee not in own
    )


Found = Iterator[tuple[ObjectRef, ServiceId, str]]
_REF = attrgetter("api_version", "kind", "namespace", "name")
"""A reference's order as a tuple, which compares ten times as fast as the dataclass."""


def _callee(call: tuple[ServiceId, str]) -> tuple[str, str]:
    return call[0].namespace, call[0].name


def _workload(
    spec: Fields,
    namespace: str,
    names: Names,
    maps: Mapping[tuple[str, str], Manifest],
    calls: dict[tuple[str, str], dict[ServiceId, str]],
) -> dict[ServiceId, str]:
    """Whom a workload calls, with the first evidence; `calls` keeps what each ConfigMap says."""
    told: dict[ServiceId, str] = {}
    for container in containers(spec):
        for variable in container.get("env") or ():
            if value := variable.get("value"):
                for callee in hosts(value, namespace, names, key=variable["name"]):
                    told.setdefault(callee, f"variable {variable['name']}")
        for word in (*(container.get("command") or ()), *(container.get("args") or ())):
            for callee in hosts(word, namespace, names):
                told.setdefault(callee, "command line")
    for name in config_maps(spec):
        place = (namespace, name)
        if place not in calls:
            calls[place] = dict(_in_map(maps[place], names)) if place in maps else {}
        told = calls[place] | told if told else calls[place]
    return told


def _in_map(item: Manifest, names: Names) -> Iterator[tuple[ServiceId, str]]:
    namespace = namespace_of(item)
    for key, value in (item.get("data") or NONE).items():
        for callee in hosts(value, namespace, names, key=key):
            yield callee, f"{SHARED}{namespace}/{name_of(item)}, key {key}"


def config_maps(spec: Fields) -> Iterator[str]:
    """The names of the ConfigMaps that a pod spec uses."""
    for container in containers(spec):
        for source in container.get("envFrom") or ():
            if name := (source.get("configMapRef") or NONE).get("name"):
                yield name
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or NONE).get("configMapKeyRef") or NONE
            if name := reference.get("name"):
                yield name
    for volume in spec.get("volumes") or ():
        for source in (volume, *((volume.get("projected") or NONE).get("sources") or ())):
            if name := (source.get("configMap") or NONE).get("name"):
                yield name


@functools.lru_cache(maxsize=4096)
def _says_host(key: str) -> bool:
    return bool(_SAYS_HOST.search(key))


def hosts(text: str, namespace: str, names: Names, *, key: str = "") -> Iterator[ServiceId]:
    """The Services that a text names as hosts, seen from a namespace."""
    whole = _says_host(key)
    if not whole and not _PLACED.search(text):
        return
    for name, place in _places(text, whole):
        if found := names.get(place or namespace, _NOBODY).get(name):
            yield found


@functools.lru_cache(maxsize=16384)
def _places(text: str, whole: bool) -> tuple[tuple[str, str], ...]:
    """The hosts in a text as (name, namespace or empty); callers of one service say the same, so it is kept."""
    found: list[tuple[str, str]] = []
    for match in _HOST.finditer(text):
        before, host, port = match.groups()
        name, _, rest = host.partition(".")
        place, _, tail = rest.partition(".")
        if rest:
            inside = not tail or tail == "svc" or tail.startswith("svc.")
        else:
            inside = bool(before or port or (whole and len(host) == len(text)))
        if inside:
            found.append((name, place))
    return tuple(found)


def _ingress(item: Manifest, names: Names) -> Found:
    ref, spec = ObjectRef.of(item), item.get("spec") or NONE
    backends = [spec.get("defaultBackend") or NONE]
    for rule in spec.get("rules") or ():
        backends += [path.get("backend") or NONE for path in (rule.get("http") or NONE).get("paths") or ()]
    for backend in backends:
        name = (backend.get("service") or NONE).get("name") or backend.get("serviceName")
        if callee := names.get(ref.namespace, _NOBODY).get(name or ""):
            yield ref, callee, subject(item)


def _policy(item: Manifest, services: Sequence[Service], near: Sequence[Workload]) -> Found:
    """A policy that lets named pods in says that they call; one that lets everybody in says nothing."""
    spec = item.get("spec") or NONE
    guarded = {workload.ref for workload in near if selects(spec.get("podSelector"), workload.labels)}
    callees = [service.id for service in services if guarded.intersection(service.workloads)]
    if not callees:
        return
    for rule in spec.get("ingress") or ():
        for peer in rule.get("from") or ():
            wanted = peer.get("podSelector")
            if not wanted or peer.get("namespaceSelector"):
                continue
            for workload in near:
                if selects(wanted, workload.labels):
                    yield from ((workload.ref, callee, subject(item)) for callee in callees)
