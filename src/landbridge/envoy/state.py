"""What the agent wants of an Envoy, said without one word of Envoy's own: the input of everything in this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from landbridge.model.service import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address that answers; `weight` (1 and up) is relative to the others of the same side."""

    address: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A service and port of the other cluster, reached by its gateway.

    `sni` is `p<port>.<svc>.<ns>.<cluster>`; the `tcp.` and `health.` names are made from it. `identity` is the
    gateway's exact SPIFFE id. A gateway's address may be an IP address or a host name.
    """

    sni: str
    gateways: tuple[Endpoint, ...]
    identity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One side of a split: a Service by name, with the endpoints of its leaf here or the gateway over there.

    Exactly one of `local` (may be empty) and `remote` is set. `weight` is relative; 0 sends nothing, except that a
    side with `fallback` also takes what the other side cannot answer because it is empty or unreachable. A side with
    a weight above 0 always does. Set it for the home of the service only: a copy that nobody has tried, or
    that was just rolled back, must get nothing at weight 0.
    """

    service: str
    weight: int
    local: tuple[Endpoint, ...] | None = None
    remote: Remote | None = None
    fallback: bool = False

    def __post_init__(self) -> None:
        if (self.local is None) == (self.remote is None):
            raise ValueError(f"{self.service}: exactly one of local and remote")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRoute:
    """Which backend the header `x-landbridge-side` means by `source` and `target`, and whose word is taken.

    `trusted` are the addresses of callers that may choose; from anybody else the header is taken off and ignored.
    """

    source: str
    target: str
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """Copies of so many percent (1 to 100) of the safe requests go to this backend; their answers are thrown away."""

    service: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One port of one Service in the waypoint; `listen` is the port allocated to it, on every waypoint pod alike.

    `full_retry` is the owner's word that every request may be executed twice; `affinity` is ClientIP affinity.
    `callers` are the networks (CIDR) whose connections are taken: None for everybody's, () for nobody's. `shadow` is
    for HTTP and for a side that gets nothing else: what is sent to it in earnest is no comparison for its copies.
    """

    namespace: str
    service: str
    port: int
    listen: int
    protocol: Protocol
    backends: tuple[Backend, ...]
    full_retry: bool = False
    affinity: bool = False
    callers: tuple[str, ...] | None = None
    header: HeaderRoute | None = None
    shadow: Shadow | None = None

    def __post_init__(self) -> None:
        if self.protocol is Protocol.UDP:
            raise ValueError(f"{self.key}: UDP is not carried; assess makes it a blocker")
        if self.header and not {self.header.source, self.header.target} <= {b.service for b in self.backends}:
            raise ValueError(f"{self.key}: the header names a backend that is not there")
        if self.shadow and (self.protocol is not Protocol.HTTP or not 1 <= self.shadow.percent <= 100):
            raise ValueError(f"{self.key}: a shadow is 1 to 100 percent of HTTP requests")
        if self.shadow and not any(b.service == self.shadow.service and not b.weight for b in self.backends):
            raise ValueError(f"{self.key}: a shadow goes to a side at weight 0")
        if not any(backend.weight > 0 for backend in self.backends):
            raise ValueError(f"{self.key}: the weights sum to zero")

    @property
    def key(self) -> str:
        """`<namespace>/<service>/<port>`: the route's name in counters and in the names of clusters."""
        return f"{self.namespace}/{self.service}/{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waypoint:
    """All that one namespace's waypoint does. `bind` is `0.0.0.0` where a node has no IPv6 at all."""

    cluster: str
    namespace: str
    listeners: tuple[Listener, ...]
    bind: str = "::"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A Service and port that the other cluster may call; `endpoints` are those of its leaf, never of its apex.

    `hop_header` is the header to which the cluster's name is appended in each request that comes in; empty: in none.
    """

    namespace: str
    service: str
    port: int
    protocol: Protocol
    endpoints: tuple[Endpoint, ...]
    affinity: bool = False
    hop_header: str = ""

    def __post_init__(self) -> None:
        if self.protocol is Protocol.UDP:
            raise ValueError(f"{self.key}: UDP is not carried; assess makes it a blocker")

    @property
    def key(self) -> str:
        """`<namespace>/<service>/<port>`."""
        return f"{self.namespace}/{self.service}/{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A cluster's door: what it exports, and the exact SPIFFE ids that may come in (none: nobody may)."""

    cluster: str
    exports: tuple[Export, ...]
    allowed: tuple[str, ...]
    bind: str = "::"
    port: int = 15443


def with_hops(state: Gateway, header: str) -> Gateway:
    """The same door, which appends its cluster's name to a header of each request that comes in; "" is no header."""
    return replace(state, exports=tuple(replace(item, hop_header=header) for item in state.exports))


def sni(service: str, namespace: str, cluster: str, port: int) -> str:
    """The name by which one cluster asks another's gateway for a service's port: `p80.web.shop.eks`."""
    return f"p{port}.{service}.{namespace}.{cluster}"


def by_key(items: Sequence[Listener]) -> tuple[Listener, ...]:
    """Listeners in the order of their key, so that what is rendered does not depend on the order of a watch."""
    return tuple(sorted(items, key=lambda item: (item.namespace, item.service, item.port)))
