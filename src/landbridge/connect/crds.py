"""Our own minimal definition of SMI's TrafficSplit, for clusters that have none; never over somebody else's."""

from __future__ import annotations

from typing import Any

from landbridge.clients.kinds import CRD, TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import wait_for
from landbridge.connect import names
from landbridge.model.service import Manifest

NAME = "trafficsplits.split.smi-spec.io"


def trafficsplit() -> Manifest:
    """The CustomResourceDefinition: v1alpha2, a Service and weighted backends, an unstructured rest kept."""
    backend: dict[str, Any] = {
        "type": "object",
        "required": ["service"],
        "properties": {"service": {"type": "string"}, "weight": {"type": "integer", "minimum": 0}},
    }
    spec: dict[str, Any] = {
        "type": "object",
        "required": ["service", "backends"],
        "properties": {
            "service": {"type": "string", "description": "The Service that callers use, by its short name."},
            "backends": {"type": "array", "items": backend},
        },
    }
    version = {
        "name": "v1alpha2",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {"spec": spec}}},
        "additionalPrinterColumns": [
            {"name": "Service", "type": "string", "jsonPath": ".spec.service"},
            {"name": "Weights", "type": "string", "jsonPath": ".spec.backends[*].weight"},
        ],
    }
    return {
        "apiVersion": CRD.api_version,
        "kind": CRD.kind,
        "metadata": {"name": NAME, "labels": names.labels()},
        "spec": {
            "group": TRAFFICSPLIT.group,
            "scope": "Namespaced",
            "names": {
                "kind": "TrafficSplit",
                "plural": "trafficsplits",
                "singular": "trafficsplit",
                "shortNames": ["ts"],
            },
            "versions": [version],
        },
    }


async def provide(k8s: Kubernetes, *, patience: float = 30.0) -> bool:
    """Define TrafficSplit where it is missing and wait until it is served; whether it was made now."""
    if await k8s.find(CRD, NAME):
        return False
    await k8s.create(trafficsplit())
    await wait_for(
        lambda: _established(k8s), what=f"TrafficSplit served by {k8s.name}", within=patience, clock=k8s.clock
    )
    return True


async def remove(k8s: Kubernetes) -> bool:
    """Take our definition away when no object of it is left; whether it went."""
    found = await k8s.find(CRD, NAME)
    if not found or not names.is_ours(found) or await k8s.list(TRAFFICSPLIT):
        return False
    await k8s.delete(CRD, NAME)
    return True


async def _established(k8s: Kubernetes) -> bool:
    found = await k8s.find(CRD, NAME) or {}
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
