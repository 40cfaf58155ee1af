"""What load is sent to, and what each answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How an endpoint is spoken to."""

    HTTP = "http"
    GRPC = "grpc"
    TCP = "tcp"
    SSE = "sse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One thing to call.

    `path`: for http and sse the target of the request, with `{n}` to be replaced by the number of the request; for
    grpc the full method; for tcp the command line. `body`: bytes to send (grpc: the message). `answers`: what a
    sound copy says, in words. Every answer names the cluster that served it: header or trailing metadata
    `x-served-by`, for tcp in the banner, for sse in the header and in each event's `served_by`.
    """

    name: str
    kind: Kind
    host: str
    port: int
    path: str
    answers: str
    method: str = "GET"
    body: bytes = b""


def endpoints(namespace: str = "shop") -> tuple[Endpoint, ...]:
    """The endpoints of a shop that runs in `namespace`."""

    def http(
        name: str, service: str, path: str, answers: str, *, method: str = "GET", kind: Kind = Kind.HTTP
    ) -> Endpoint:
        host = f"{service}.{namespace}.svc.cluster.local"
        return Endpoint(name=name, kind=kind, host=host, port=80, path=path, answers=answers, method=method)

    def other(name: str, kind: Kind, port: int, path: str, answers: str, body: bytes = b"") -> Endpoint:
        host = f"{name}.{namespace}.svc.cluster.local"
        return Endpoint(name=name, kind=kind, host=host, port=port, path=path, answers=answers, body=body)

    return (
        http("web", "web", "/?person={n}", "200, JSON; chain web, catalog, users, cart"),
        http(
            "buy", "web", "/buy?person=7&item=3&key=buy-{n}", "201, JSON; chain web, orders, ... ledger", method="POST"
        ),
        http("catalog", "catalog", "/items", "200, a JSON list of ten items"),
        http("cart", "cart", "/carts/{n}?item=3", "200, JSON with the count of the item", method="POST"),
        http("users", "users", "/users/{n}", "200, JSON of one person"),
        http("orders", "orders", "/orders/7", "200, JSON with the person's number of orders, at most 100"),
        http("payments", "payments", "/payments/7?cents=5", "200, JSON with the new total", method="POST"),
        http("news", "notices", "/latest", "200, JSON: what the stream would say now"),
        http("notices", "notices", "/stream", "200, events once a second without end", kind=Kind.SSE),
        other("stock", Kind.GRPC, 9090, "/shop.Stock/Check", 'OK, {"item":3,"left":n}', b'{"item":3}'),
        other("ledger", Kind.TCP, 7000, "PING", "a banner on connecting, then OK pong"),
    )


ENDPOINTS = endpoints()
