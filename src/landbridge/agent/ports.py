"""Which waypoint port stands for which Service port: recorded, and never reused until drained (pure).

The record is the ConfigMap `landbridge-ports` of the namespace, one key a Service port (`web.80.tcp`). It also freezes
what makes a listener (protocol, affinity), because listeners are immutable after adoption. An entry that nobody needs
any more is marked as draining and goes when its connections are gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from landbridge.agent import endpoints, names
from landbridge.model.service import Manifest, Protocol

FIRST = 20000
LAST = 29999
SETTLE_SECONDS = 10.0  # until every kube-proxy has taken note that a slice is gone, new connections may come
DRAIN_SECONDS = 600.0  # held connections get this long after the Service was given back


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """One waypoint port. `draining` is when it was given up, in seconds since the epoch, 0 while in use."""

    service: str
    port: int
    transport: str
    listen: int
    protocol: Protocol
    affinity: bool = False
    draining: float = 0.0

    @property
    def key(self) -> str:
        """The key in the ConfigMap: `web.80.tcp`."""
        return f"{self.service}.{self.port}.{self.transport.lower()}"


Allocations = Mapping[str, Allocation]
ByService = Mapping[str, Allocations]


def by_service(have: Allocations) -> dict[str, dict[str, Allocation]]:
    """The allocations of each Service."""
    found: dict[str, dict[str, Allocation]] = {}
    for key, item in have.items():
        found.setdefault(item.service, {})[key] = item
    return found


def read(record: Manifest | None) -> dict[str, Allocation]:
    """The allocations of a ConfigMap; an entry that cannot be read is left out, and so allocated anew."""
    found: dict[str, Allocation] = {}
    for key, text in ((record or {}).get("data") or {}).items():
        service, _, rest = key.rpartition(".")
        service, _, port = service.rpartition(".")
        try:
            entry = json.loads(text)
            found[key] = Allocation(
                service=service,
                port=int(port),
                transport=rest.upper(),
                listen=int(entry["listen"]),
                protocol=Protocol(entry["protocol"]),
                affinity=bool(entry.get("affinity")),
                draining=float(entry.get("draining") or 0),
            )
        except (KeyError, TypeError, ValueError):
            continue
    return found


def text(allocation: Allocation) -> str:
    """One entry as the ConfigMap holds it."""
    entry = {"listen": allocation.listen, "protocol": allocation.protocol.value}
    extra = {"affinity": True} if allocation.affinity else {}
    draining = {"draining": allocation.draining} if allocation.draining else {}
    return json.dumps(entry | extra | draining, sort_keys=True)


def hold(record: Manifest | None, last: Allocations) -> dict[str, Allocation]:
    """The allocations that a waypoint obeys: those of the record, and `last` for what vanished in an unreadable way.

    A record that was deleted or spoilt by hand must not close listeners that carry traffic.
    """
    if record is None:
        return dict(last)
    written = (record.get("data") or {}).keys()
    return {key: item for key, item in last.items() if key in written} | read(record)


def recall(services: Iterable[Manifest]) -> dict[str, Allocation]:
    """The allocations that leaves and mirrors carry as annotations: for a record that was lost."""
    found: dict[str, Allocation] = {}
    for service in services:
        try:
            known = json.loads(names.annotation(service, names.PORTS) or "{}")
            drafts = {f"{item.port}/{item.transport}": item for item in _wanted(service)}
            made = [replace(drafts[port], listen=int(listen)) for port, listen in known.items() if port in drafts]
        except (ValueError, TypeError, AttributeError):
            continue
        found |= {item.key: item for item in made}
    return found


def plan(services: Iterable[Manifest], have: Allocations, now: float) -> dict[str, Allocation]:
    """What the record has to say so that every port of `services` has a listener.

    Kept entries keep their port and their kind of listener; an entry that nobody needs drains; one that is needed
    again while it drains is taken back.
    """
    wanted = {item.key: item for service in services for item in _wanted(service)}
    kept = {key: _keep(item, key in wanted, now) for key, item in have.items()}
    taken = {item.listen for item in kept.values()}
    free = (number for number in range(FIRST, LAST + 1) if number not in taken)
    new = {key: replace(wanted[key], listen=next(free)) for key in sorted(wanted) if key not in have}
    return kept | new


def drained(have: Allocations, connections: Mapping[int, int | None], now: float) -> set[str]:
    """Draining entries that are free: settled and without connections on any waypoint (None: unknown, so not yet),
    or past the deadline.
    """
    return {key for key, item in have.items() if item.draining and _is_free(connections.get(item.listen), item, now)}


def _is_free(connections: int | None, item: Allocation, now: float) -> bool:
    since = now - item.draining
    return since > DRAIN_SECONDS or (since >= SETTLE_SECONDS and connections == 0)


def notes(have: Allocations) -> dict[str, str]:
    """What the annotation `landbridge.dev/ports` of each leaf or mirror says, by service: `{"80/TCP": 20000}`."""
    found: dict[str, dict[str, int]] = {}
    for item in have.values():
        found.setdefault(item.service, {})[f"{item.port}/{item.transport}"] = item.listen
    return {service: json.dumps(listen, sort_keys=True) for service, listen in found.items()}


def _wanted(service: Manifest) -> Iterable[Allocation]:
    """Draft allocations of a leaf (for its apex) or of a mirror; the number is filled in later."""
    name = names.label(service, names.LEAF_OF) or service["metadata"]["name"]
    affinity = (service.get("spec") or {}).get("sessionAffinity") == "ClientIP"
    stated = endpoints.stated_of(service)
    for port in endpoints.ports_of(service):
        yield Allocation(
            service=name,
            port=int(str(port["port"])),
            transport=str(port.get("protocol") or "TCP"),
            listen=0,
            protocol=endpoints.protocol_of(port, stated),
            affinity=affinity,
        )


def _keep(item: Allocation, wanted: bool, now: float) -> Allocation:
    since = 0.0 if wanted else item.draining or now
    return item if item.draining == since else replace(item, draining=since)
