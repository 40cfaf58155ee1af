"""The objects that declare a split, for all data planes alike (pure): weights in, spec out, and back.

SMI TrafficSplit v1alpha2, HTTPRoute with a Service as parent (Gateway API's and Linkerd's own have the same fields
here), and the overrides of a Linkerd ServiceProfile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from landbridge.model.service import ServiceId

Weights = Mapping[str, int]
"""Backend Services by name, with whole percents that sum to 100."""


def trafficsplit(service: ServiceId, weights: Weights) -> dict[str, Any]:
    """The spec with the apex by its short name, for that is what adaptors append to; zeros show what is meant."""
    return {"service": service.name, "backends": backends(weights)}


def backends(weights: Weights) -> list[dict[str, Any]]:
    """A TrafficSplit's backends."""
    return [{"service": name, "weight": weight} for name, weight in weights.items()]


def httproute(service: ServiceId, ports: Sequence[int], weights: Weights) -> dict[str, Any]:
    """The spec with one rule for each port; each rule's parent is the whole Service."""
    parent = {"group": "", "kind": "Service", "name": service.name}
    return {"parentRefs": [parent], "rules": rules(ports, weights)}


def rules(ports: Sequence[int], weights: Weights) -> list[dict[str, Any]]:
    """An HTTPRoute's rules, without backends of weight 0: meshes differ about them, and one that is alone gets all."""
    return [
        {
            "backendRefs": [
                {"kind": "Service", "name": name, "port": port, "weight": w} for name, w in weights.items() if w
            ]
        }
        for port in ports
    ]


def overrides(namespace: str, domain: str, weights: Weights) -> list[dict[str, Any]]:
    """A ServiceProfile's dstOverrides; zeros are left out, as the proxy drops them and the adaptor's are read so."""
    return [
        {"authority": f"{name}.{namespace}.svc.{domain}", "weight": weight}
        for name, weight in weights.items()
        if weight
    ]
