"""The shop's endpoints as targets of the lab's load generator."""

from __future__ import annotations

from collections.abc import Mapping

from landbridge.lab.load.target import Mode, Target
from landbridge.lab.shop.endpoints import Endpoint, Kind, endpoints

SHARES = {
    "web": 3,
    "buy": 1,
    "cart": 6,
    "orders": 6,
    "stock": 6,
    "payments": 20,
    "ledger": 5,
    "news": 8,
    "users": 22,
    "catalog": 22,
}
"""Most visitors look around, few buy. A visit to `web` or `buy` is six calls, and a gRPC call costs five of HTTP."""


def targets(
    rate: float, *, streams: int = 10, namespace: str = "shop", run: str = "buy", shares: Mapping[str, int] = SHARES
) -> list[Target]:
    """Targets that together get `rate` requests a second, and hold so many streams open; from anywhere in a cluster.

    `shares` divides the rate. `run` begins the keys of this caller's orders: with one of its own,
    `evidence.read_repeated_orders` finds none.
    """
    shop = endpoints(namespace)
    share = rate / sum(shares.values())
    return [_target(end, streams if end.kind is Kind.SSE else share * shares[end.name], run) for end in shop]


def _target(endpoint: Endpoint, rate: float, run: str) -> Target:
    return Target(
        name=endpoint.name,
        mode=Mode(endpoint.kind.value),
        host=endpoint.host,
        port=endpoint.port,
        path=endpoint.path.replace("key=buy-", f"key={run}-"),
        method=endpoint.method,
        body=endpoint.body.decode(),
        rate=rate,
        fresh=endpoint.kind is Kind.TCP,  # a connection is what is split and counted there
    )
