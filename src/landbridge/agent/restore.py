"""What an owner's write to an adopted Service means, and the answer to it (pure).

An owner who re-applies a manifest brings the selector back: original and waypoint endpoints are both valid then, so
nothing is lost and there is time to set it to null again in the safe order. Ports that changed are drift: the runner
un-adopts and stops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landbridge.agent import endpoints, names
from landbridge.model.service import Manifest

CONTROLLERS = frozenset({"endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Set the skip-mirror label again, before anything else: Endpoints must never be mirrored into slices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Something has to come true first; `reason` says what."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLeaf:
    """Give the owner's new selector to the leaf first."""

    selector: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Set the selector to null again; `note` is what people are told."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Delete slices that the controllers made or left behind, and list again."""

    slices: tuple[Manifest, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """The owner changed what cannot be restored; `what` is reported and the runner stops."""

    what: str


Action = Label | Await | MoveLeaf | Restore | Sweep | Drift


def decide(
    apex: Manifest, leaf: Manifest, apex_slices: Sequence[Manifest], leaf_slices: Sequence[Manifest], *, labelled: bool
) -> Action | None:
    """The next step for a Service whose leaf says `adopted`; None when all is as it should be.

    `labelled` says whether the Endpoints object carries the skip-mirror label (or does not exist).
    """
    if changed := _ports_changed(apex, leaf):
        return Drift(what=changed)
    if _selector(apex):
        return _selected(apex, leaf, apex_slices, leaf_slices, labelled=labelled)
    strangers = [item for item in endpoints.foreign(apex_slices) if names.label(item, names.SLICE_MANAGED_BY)]
    swept = tuple(item for item in strangers if names.label(item, names.SLICE_MANAGED_BY) in CONTROLLERS)
    if swept and not any(names.ours(item) and item.get("endpoints") for item in apex_slices):
        return Await(reason="our own slice is missing")
    return Sweep(slices=swept) if swept else None


def _selected(
    apex: Manifest, leaf: Manifest, apex_slices: Sequence[Manifest], leaf_slices: Sequence[Manifest], *, labelled: bool
) -> Action:
    selector = _selector(apex)
    if not any(names.ours(item) and item.get("endpoints") for item in apex_slices):
        return Await(reason="our own slice is missing")
    if names.label(apex, names.SKIP_MIRROR) != "true":
        return Label()
    if not labelled:
        return Await(reason="Endpoints does not carry the skip-mirror label yet")
    selected = endpoints.addresses(endpoints.foreign(apex_slices))
    if selector != _selector(leaf):
        return MoveLeaf(selector=selector) if selected else Await(reason="the new selector matches no ready pod")
    if not selected <= endpoints.addresses(leaf_slices):
        return Await(reason="the leaf does not have the owner's endpoints yet")
    return Restore(note="the owner's selector was set to null again")


def _selector(service: Manifest) -> dict[str, str]:
    return dict((service.get("spec") or {}).get("selector") or {})


def _ports_changed(apex: Manifest, leaf: Manifest) -> str:
    now, then = (sorted(_port(port) for port in endpoints.ports_of(item)) for item in (apex, leaf))
    return "" if now == then else f"ports changed from {_words(then)} to {_words(now)}"


def _port(port: Mapping[str, Any]) -> tuple[int, str, str, str]:
    target = port.get("targetPort") or port["port"]
    return int(port["port"]), str(port.get("protocol") or "TCP"), str(port.get("name") or ""), str(target)


def _words(items: Sequence[tuple[int, str, str, str]]) -> str:
    return ", ".join(f"{name or '-'} {port}/{transport} to {target}" for port, transport, name, target in items)
