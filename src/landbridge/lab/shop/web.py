"""web: the shop's front. Calls catalog, cart and users for a page, and orders to buy."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

from landbridge.lab.shop.wire.process import Process, Routes, run_http
from landbridge.lab.shop.wire.server import Request, Response
from landbridge.lab.shop.wire.trail import Trail


async def routes(process: Process) -> Routes:
    """`GET /?person=7` is the start page, `POST /buy?person=7&item=3[&key=K]` buys."""
    catalog, cart, users, orders = (process.downstream(name) for name in ("catalog", "cart", "users", "orders"))

    async def page(request: Request, trail: Trail) -> Response:
        person = int(request.query.get("person", "0"))
        items, held, who = await asyncio.gather(
            catalog.ask(trail, "GET", "/items"),
            cart.ask(trail, "GET", f"/carts/{person}"),
            users.ask(trail, "GET", f"/users/{person}"),
        )
        return Response(body=json.dumps({"hello": who["name"], "items": len(items), "cart": held["items"]}).encode())

    async def buy(request: Request, trail: Trail) -> Response:
        wanted = urlencode({name: value for name, value in request.query.items() if name in {"person", "item", "key"}})
        order = await orders.ask(trail, "POST", f"/orders?{wanted}")
        return Response(status=201, body=json.dumps(order).encode())

    return {"GET /": page, "POST /buy": buy}


if __name__ == "__main__":
    run_http("web", routes)
