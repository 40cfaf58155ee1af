"""Arbitrary states of a waypoint and a gateway."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from landbridge.envoy.state import (
    Backend,
    Endpoint,
    Export,
    Gateway,
    HeaderRoute,
    Listener,
    Remote,
    Shadow,
    Waypoint,
    sni,
)
from landbridge.model.service import Protocol

pure = settings(deadline=None, max_examples=50)
"""Many cores' work runs beside these tests: no deadline for one example."""

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
CARRIED = st.sampled_from([Protocol.HTTP, Protocol.GRPC, Protocol.TCP])
ENDPOINTS = st.lists(
    st.builds(
        Endpoint,
        address=st.integers(1, 250).map(lambda last: f"10.0.0.{last}"),
        port=st.integers(1, 65535),
        weight=st.integers(1, 128),
    ),
    max_size=4,
    unique_by=lambda endpoint: (endpoint.address, endpoint.port),
).map(tuple)


HEADERS = st.sets(st.integers(1, 250).map(lambda last: f"10.0.1.{last}"), max_size=3)


@st.composite
def listeners(draw: st.DrawFn) -> tuple[Listener, ...]:
    """Ports of services of one namespace, each with a local and most with a remote side."""
    keys = draw(st.lists(st.tuples(NAMES, st.integers(1, 65535)), min_size=1, max_size=5, unique=True))
    made = []
    for number, (service, port) in enumerate(keys):
        weight = draw(st.integers(0, 100) | st.sampled_from([0, 100]))
        over = Remote(
            sni=sni(service, "shop", "eks", port),
            gateways=draw(ENDPOINTS),
            identity="spiffe://eks/ns/landbridge/sa/landbridge-gateway",
        )
        kind = draw(CARRIED)
        header = draw(st.none() | HEADERS) if kind is not Protocol.TCP else None
        shadow = draw(st.none() | st.integers(1, 100)) if kind is Protocol.HTTP and weight in {0, 100} else None
        backends = (
            Backend(
                service=f"{service}-leaf", weight=100 - weight, local=draw(ENDPOINTS), fallback=draw(st.booleans())
            ),
            Backend(service=f"{service}-eks", weight=weight, remote=over, fallback=draw(st.booleans())),
        )
        made.append(
            Listener(
                namespace="shop",
                service=service,
                port=port,
                listen=20000 + number,
                protocol=kind,
                backends=backends,
                full_retry=draw(st.booleans()),
                affinity=draw(st.booleans()),
                header=None
                if header is None
                else HeaderRoute(source=f"{service}-leaf", target=f"{service}-eks", trusted=tuple(sorted(header))),
                shadow=None
                if shadow is None
                else Shadow(service=f"{service}-{'leaf' if weight else 'eks'}", percent=shadow),
            )
        )
    return tuple(made)


WAYPOINTS = listeners().map(lambda made: Waypoint(cluster="legacy", namespace="shop", listeners=made))


@st.composite
def gateways(draw: st.DrawFn) -> Gateway:
    """A door with some exports."""
    keys = draw(st.lists(st.tuples(NAMES, st.integers(1, 65535)), max_size=5, unique=True))
    exports = tuple(
        Export(namespace="shop", service=service, port=port, protocol=draw(CARRIED), endpoints=draw(ENDPOINTS))
        for service, port in keys
    )
    return Gateway(cluster="eks", exports=exports, allowed=("spiffe://legacy/ns/shop/sa/landbridge-waypoint",))
