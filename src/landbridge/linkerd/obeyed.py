"""Whether Linkerd obeys what was written, by what it says itself (pure): each answer is empty when it does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from landbridge.model.manifest import NONE
from landbridge.model.service import Manifest, ObjectRef

CONTROLLER = "linkerd.io/policy-controller"
CONDITIONS = ("Accepted", "ResolvedRefs")


def route(manifest: Manifest) -> str:
    """Linkerd's conditions about an HTTPRoute, all of them of its newest generation where they say so."""
    parents = (manifest.get("status") or NONE).get("parents") or ()
    ours = [parent for parent in parents if parent.get("controllerName") == CONTROLLER]
    if not ours:
        return f"{ObjectRef.of(manifest)}: {CONTROLLER} has said nothing about it"
    generation = int(manifest["metadata"].get("generation") or 0)
    said = [_told(parent.get("conditions") or (), kind, generation) for parent in ours for kind in CONDITIONS]
    wrong = [text for text in said if text]
    return f"{ObjectRef.of(manifest)}: {'; '.join(dict.fromkeys(wrong))}" if wrong else ""


def _told(conditions: Iterable[Mapping[str, Any]], kind: str, generation: int) -> str:
    found = next((condition for condition in conditions if condition.get("type") == kind), None)
    if found is None:
        return f"{kind} is not said"
    if int(found.get("observedGeneration") or generation) < generation:
        return f"{kind} is said of an older generation"
    if found.get("status") == "True":
        return ""
    reason = " ".join(str(found[key]) for key in ("reason", "message") if found.get(key))
    return f"{kind} is {found.get('status')}" + (f" ({reason})" if reason else "")


def profile(manifest: Manifest | None, wanted: Iterable[Mapping[str, Any]], name: str) -> str:
    """Whether a ServiceProfile's overrides are those of a split: the adaptor writes them, or does not.

    Weights of 0 and the order do not matter. It is the profile that routes, whatever the TrafficSplit says.
    """
    if manifest is None:
        return f"there is no ServiceProfile {name}: the SMI adaptor has not written it"
    seen = _weights((manifest.get("spec") or NONE).get("dstOverrides") or ())
    meant = _weights(wanted)
    return "" if seen == meant else f"ServiceProfile {name} has the weights {seen or 'of nobody'}, not {meant}"


def _weights(overrides: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """By authority, without zeros; adaptors write quantities or numbers."""
    found = {str(entry["authority"]).rstrip("."): int(float(str(entry.get("weight") or 0))) for entry in overrides}
    return {name: weight for name, weight in sorted(found.items()) if weight}
