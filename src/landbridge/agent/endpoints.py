"""Who answers for a Service: reading EndpointSlices and Service ports (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from landbridge.agent import names
from landbridge.envoy.state import Endpoint
from landbridge.model.service import Manifest, Protocol

HTTP_NAMES = frozenset({"http", "http1", "http2", "h2c", "ws"})
HTTP_APPS = HTTP_NAMES | {"kubernetes.io/h2c", "kubernetes.io/ws"}
NOTHING: Mapping[str, Protocol] = {}
GRPC_NAMES = frozenset({"grpc", "grpc-web"})


def stated_of(*services: Manifest | None) -> Mapping[str, Protocol]:
    """What people have stated of ports (by number or name) whose Service does not say it; the first that has it.

    What cannot be read counts as not stated.
    """
    text = next((found for item in services if item and (found := names.annotation(item, names.PROTOCOLS))), "{}")
    try:
        return {str(port): Protocol(kind) for port, kind in json.loads(text).items() if kind != Protocol.UDP}
    except (ValueError, AttributeError):
        return {}


def protocol_of(port: Mapping[str, object], stated: Mapping[str, Protocol] = NOTHING) -> Protocol:
    """How a Service port is split: HTTP only where its appProtocol, its name or people (`stated`) say so; https and
    unnamed are TCP.
    """
    if port.get("protocol") == "UDP":
        return Protocol.UDP
    if known := stated.get(str(port.get("port"))) or stated.get(str(port.get("name") or "")):
        return known
    app = str(port.get("appProtocol") or "").lower()
    word = app or str(port.get("name") or "").lower().partition("-")[0]
    if word in GRPC_NAMES:
        return Protocol.GRPC
    return Protocol.HTTP if word in (HTTP_APPS if app else HTTP_NAMES) else Protocol.TCP


def of_service(slices: Iterable[Manifest], service: str, namespace: str) -> list[Manifest]:
    """The slices of one Service."""
    return [
        item
        for item in slices
        if names.label(item, names.SERVICE_NAME) == service and item["metadata"].get("namespace") == namespace
    ]


def foreign(slices: Iterable[Manifest]) -> list[Manifest]:
    """The slices that an agent did not write."""
    return [item for item in slices if not names.ours(item)]


def ready(slices: Iterable[Manifest], port: str, protocol: str = "TCP") -> tuple[Endpoint, ...]:
    """The endpoints that may be given traffic on the Service port named `port`, in a stable order.

    Terminating endpoints are dropped. Ports are resolved per slice, so a named targetPort that differs between pods
    is right.
    """
    found = {
        (address, number)
        for item in slices
        for number in _numbers(item, port, protocol)
        for endpoint in item.get("endpoints") or ()
        if is_ready(endpoint)
        for address in endpoint.get("addresses") or ()
    }
    return tuple(Endpoint(address=address, port=number) for address, number in sorted(found))


def by_hostname(slices: Sequence[Manifest], *, each: bool) -> Iterator[tuple[str, Sequence[Manifest]]]:
    """The slices as a whole under the empty name and, for `each` pod that has a host name, those of that pod alone."""
    yield "", slices
    entries = [endpoint for item in slices for endpoint in item.get("endpoints") or ()] if each else []
    for hostname in sorted({str(entry["hostname"]) for entry in entries if entry.get("hostname")}):
        yield (
            hostname,
            [
                item
                | {"endpoints": [entry for entry in item.get("endpoints") or () if entry.get("hostname") == hostname]}
                for item in slices
            ],
        )


def addresses(slices: Iterable[Manifest]) -> frozenset[str]:
    """The ready addresses, whatever the port."""
    return frozenset(
        address
        for item in slices
        for endpoint in item.get("endpoints") or ()
        if is_ready(endpoint)
        for address in endpoint.get("addresses") or ()
    )


def is_ready(endpoint: Mapping[str, object]) -> bool:
    """Ready and not terminating; an unknown readiness counts as ready, as the API says."""
    conditions = endpoint.get("conditions")
    known = conditions if isinstance(conditions, Mapping) else {}
    return known.get("ready") is not False and not known.get("terminating")


def ports_of(service: Manifest) -> Sequence[Mapping[str, object]]:
    """The ports of a Service."""
    return list((service.get("spec") or {}).get("ports") or ())


def port_key(port: Mapping[str, object]) -> str:
    """`80/TCP`, as the record of allocated ports writes it."""
    return f"{port['port']}/{port.get('protocol') or 'TCP'}"


def _numbers(item: Manifest, port: str, protocol: str) -> Iterator[int]:
    for entry in item.get("ports") or ():
        if (entry.get("name") or "") == port and (entry.get("protocol") or "TCP") == protocol and entry.get("port"):
            yield int(entry["port"])
