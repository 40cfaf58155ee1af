"""Who may call pods by the NetworkPolicies that select them, as networks of addresses (pure).

A waypoint stands before pods and sees their callers, so it can keep their policies: as NetworkPolicies say it, the
union of all that select a pod, and everybody where none does. What was generated for waypoints themselves is left out.

Nodes count as callers that are let in, as they mostly are (kubelet, host network): those that run pods of the
namespace, for a policy does not hold between a pod and its node, and the waypoint's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from landbridge.model.manifest import NONE, Fields, containers, labels_of, namespace_of, selects
from landbridge.model.service import Manifest
from landbridge.translate.networks import Network, Networks, both, hosts, merged, one_network, without
from landbridge.translate.policies import MADE, ROLE

ENDED = frozenset({"Succeeded", "Failed"})
"""A pod's phases in which its address may be another's already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What policies know of a pod that is called: its labels, and the numbers of its named TCP ports."""

    labels: Mapping[str, str]
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """Pods that live and that policies cannot tell apart: who they are, their addresses and those of their nodes."""

    called: Called
    addresses: tuple[str, ...]
    node: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Around:
    """One namespace's own policies, the labels of namespaces, and the pods of those namespaces that rules may name.

    What many Services ask of it is worked out once: 409 of them with a policy each took seconds otherwise.
    """

    namespace: str
    policies: tuple[Manifest, ...]
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pods: Mapping[str, Sequence[Pod]] = field(default_factory=dict)

    @cached_property
    def nodes(self) -> Networks:
        """The addresses of the nodes that run pods of the namespace."""
        return hosts({address for pod in self.pods.get(self.namespace, ()) for address in pod.node})

    def peer(self, peer: Fields) -> Networks:
        """Whom one entry of a rule means; an address may be in an entry of any number of rules."""
        text = json.dumps(peer, sort_keys=True)
        if text not in self._peers:
            self._peers[text] = frozenset(_of_peer(self, peer))
        return self._peers[text]

    def near(self, labels: Mapping[str, str]) -> list[Manifest]:
        """The policies that may select a pod with these labels: those that ask for none, and for one that it has."""
        return [*self._by_label[None], *(item for pair in labels.items() for item in self._by_label.get(pair, ()))]

    @cached_property
    def _by_label(self) -> Mapping[tuple[str, str] | None, list[Manifest]]:
        found: dict[tuple[str, str] | None, list[Manifest]] = {None: []}
        for item in self.policies:
            asked = (item["spec"].get("podSelector") or NONE).get("matchLabels") or NONE
            found.setdefault(min(asked.items(), default=None), []).append(item)
        return found

    @cached_property
    def _peers(self) -> dict[str, Networks]:
        return {}


def isolating(policies: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """The policies that limit who may call pods, without those that were made for waypoints."""
    own = (item for item in policies if MADE not in labels_of(item))
    return tuple(item for item in own if "Ingress" in ((item.get("spec") or NONE).get("policyTypes") or ("Ingress",)))


def reads_namespaces(policies: Iterable[Manifest]) -> bool:
    """Whether a rule chooses callers by the labels of their namespaces."""
    return any("namespaceSelector" in peer for item in policies for peer in _all_peers(item))


def named(policies: Sequence[Manifest], own: str, namespaces: Mapping[str, Mapping[str, str]]) -> set[str]:
    """The namespaces whose pods have to be known: their own, and those that rules select."""
    found = {own} if policies else set()
    for selector in (peer.get("namespaceSelector") for item in policies for peer in _all_peers(item)):
        found |= {name for name, labels in namespaces.items() if selects(selector, labels)}
    return found


def pods_of(manifests: Iterable[Manifest]) -> tuple[Pod, ...]:
    """Pods as policies see them, without those that have ended. Waypoints and gateways are nobody's callers: what they
    carry is another's.
    """
    found: dict[str, tuple[Called, set[str], set[str]]] = {}
    for item in manifests:
        status, marks = item.get("status") or NONE, labels_of(item)
        if status.get("phase") in ENDED:
            continue
        called = called_of(marks, item.get("spec") or NONE)
        _, addresses, nodes = found.setdefault(written(entries([called])), (called, set(), set()))
        addresses.update(() if ROLE in marks else _addresses(status, "podIPs", "podIP"))
        nodes.update(_addresses(status, "hostIPs", "hostIP"))
    return tuple(Pod(called=one, addresses=tuple(sorted(a)), node=tuple(sorted(n))) for one, a, n in found.values())


def kept(manifest: Manifest) -> Manifest:
    """As much of a pod as `pods_of` and its watch need, for namespaces with thousands of them."""
    meta, spec, status = manifest["metadata"], manifest.get("spec") or NONE, manifest.get("status") or NONE
    ports = [{"ports": one["ports"]} for one in spec.get("containers") or () if one.get("ports")]
    return {
        "metadata": {key: meta[key] for key in ("namespace", "name", "resourceVersion", "labels") if key in meta},
        "spec": {"containers": ports},
        "status": {key: status[key] for key in ("phase", "podIP", "podIPs", "hostIP", "hostIPs") if key in status},
    }


def called_of(labels: Mapping[str, str], spec: Fields) -> Called:
    """A pod that is, or will be, made of this spec."""
    ports = {
        str(port["name"]): int(port["containerPort"])
        for container in containers(spec, init=False)
        for port in container.get("ports") or ()
        if port.get("name") and (port.get("protocol") or "TCP") == "TCP"
    }
    return Called(labels=dict(labels), ports=ports)


def entries(found: Iterable[Called]) -> list[dict[str, Any]]:
    """Pods as a plan holds them: `{labels: {app: web}, ports: {http: 8080}}`."""
    return [{"labels": dict(one.labels)} | ({"ports": dict(one.ports)} if one.ports else {}) for one in found]


def written(found: Sequence[Mapping[str, Any]]) -> str:
    """The same as an annotation holds it; empty for none."""
    return json.dumps(list(found), sort_keys=True) if found else ""


def read(text: str) -> tuple[Called, ...]:
    """The pods of such an annotation; what cannot be read is none."""
    try:
        told = json.loads(text or "[]")
        return tuple(
            Called(
                labels={str(key): str(value) for key, value in entry["labels"].items()},
                ports={str(key): int(value) for key, value in (entry.get("ports") or {}).items()},
            )
            for entry in told
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def callers(around: Around, called: Sequence[Called], port: int | str) -> Networks | None:
    """Who may call every one of these pods on a Service's target port; None for everybody.

    Where pods of one Service differ, a caller has to be let in by all: a waypoint sends it to any of them.
    """
    numbers = [(one, one.ports.get(port) if isinstance(port, str) else port) for one in called]
    serving = [pair for pair in numbers if pair[1] is not None] or numbers
    answers = {_may_call(around, one, number) for one, number in serving}
    limited = [answer for answer in answers if answer is not None]
    if not limited:
        return None
    found = limited[0]
    for other in limited[1:]:
        found = both(found, other)
    return merged((*found, *around.nodes))


def differ(policies: Sequence[Manifest], called: Sequence[Called], port: int | str) -> bool:
    """Whether pods of one Service have different callers on a target port: by their labels, or by a named port that is
    another number in each. A waypoint that sends callers to any of the pods cannot keep that.
    """
    limiting = isolating(policies)
    numbers = [(one, one.ports.get(port) if isinstance(port, str) else port) for one in called]
    said = set()
    for one, number in numbers:
        rules = _rules(limiting, one, number)
        said.add(None if rules is None else frozenset(_peer_text(item, rule) for item, rule in rules))
    return len(said) > 1


def _may_call(around: Around, called: Called, port: int | None) -> Networks | None:
    rules = _rules(around.near(called.labels), called, port)
    if rules is None or not all(rule.get("from") for _, rule in rules):
        return None
    return merged(one for _, rule in rules for peer in rule["from"] for one in around.peer(peer))


def _rules(policies: Sequence[Manifest], called: Called, port: int | None) -> list[tuple[Manifest, Fields]] | None:
    """The rules that are about a port of a pod, with their policies; None where no policy selects the pod."""
    chosen = [item for item in policies if selects(item["spec"].get("podSelector") or {}, called.labels)]
    if not chosen:
        return None
    found = [(item, rule) for item in chosen for rule in item["spec"].get("ingress") or ()]
    return [(item, rule) for item, rule in found if _opens(rule, called, port)]


def _peer_text(item: Manifest, rule: Fields) -> str:
    return json.dumps([namespace_of(item), rule.get("from") or []], sort_keys=True)


def _opens(rule: Fields, called: Called, port: int | None) -> bool:
    entries = rule.get("ports") or ()
    return not entries or any(_is_port(entry, called, port) for entry in entries)


def _is_port(entry: Fields, called: Called, port: int | None) -> bool:
    if (entry.get("protocol") or "TCP") != "TCP":
        return False
    first = entry.get("port")
    if first is None:
        return True
    if isinstance(first, str):
        return port is not None and called.ports.get(first) == port
    return port is not None and first <= port <= int(entry.get("endPort") or first)


def _of_peer(around: Around, peer: Fields) -> Iterator[Network]:
    if block := peer.get("ipBlock"):
        yield from _of_block(block)
        return
    spaces, pods = peer.get("namespaceSelector"), peer.get("podSelector")
    if spaces is None and pods is None:
        return
    for space, known in around.pods.items():
        inside = space == around.namespace if spaces is None else selects(spaces, around.namespaces.get(space, NONE))
        if inside:
            for pod in known:
                if pods is None or selects(pods, pod.called.labels):
                    yield from hosts(pod.addresses)


def _of_block(block: Fields) -> Iterator[Network]:
    for whole in one_network(str(block.get("cidr"))):
        left: list[Network] = [whole]
        for text in block.get("except") or ():
            for taken in one_network(str(text)):
                left = [part for one in left for part in without(one, taken)]
        yield from left


def _addresses(status: Fields, many: str, one: str) -> tuple[str, ...]:
    found = [str(entry["ip"]) for entry in status.get(many) or () if entry.get("ip")]
    return tuple(found) or ((str(status[one]),) if status.get(one) else ())


def _all_peers(item: Manifest) -> Iterator[Fields]:
    for rule in (item.get("spec") or NONE).get("ingress") or ():
        yield from rule.get("from") or ()
