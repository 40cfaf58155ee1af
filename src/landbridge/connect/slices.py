"""Reading a Service's EndpointSlices: whose they are and who answers in them (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from landbridge.model.service import Manifest

WRITER = "endpointslice.kubernetes.io/managed-by"
AGENT = "agent.landbridge.dev"


def of_agents(slices: Iterable[Manifest]) -> list[Manifest]:
    """Those that an agent of ours wrote."""
    return [item for item in slices if (item["metadata"].get("labels") or {}).get(WRITER) == AGENT]


def foreign(slices: Iterable[Manifest]) -> list[Manifest]:
    """All others."""
    return [item for item in slices if (item["metadata"].get("labels") or {}).get(WRITER) != AGENT]


def addresses(slices: Iterable[Manifest]) -> set[str]:
    """Everyone ready in them; unknown readiness counts as ready, as the API says."""
    return {
        address
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
        for address in endpoint.get("addresses") or ()
    }


def ports_of(item: Manifest) -> set[str]:
    """The names of a slice's ports."""
    return {str(port.get("name") or "") for port in item.get("ports") or ()}
