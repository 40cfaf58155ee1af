"""orders: buying one thing. Calls users, stock (gRPC), payments, then writes to PostgreSQL and tells notices by Redis.

Its connections to users live for `USERS_MAX_AGE_SECONDS` (30) and not five: a caller that stays on its old connections
is what bypasses a Service's new endpoints, and every real platform has one.
"""

from __future__ import annotations

import asyncio
import json
import uuid

from landbridge.lab.shop.stock import RESERVE
from landbridge.lab.shop.wire.process import Process, Routes, run_http
from landbridge.lab.shop.wire.rpc import RpcDownstream
from landbridge.lab.shop.wire.server import Request, Response
from landbridge.lab.shop.wire.trail import Trail

LATEST = "notices:latest"
INSERT = "INSERT INTO orders (key, person, item, cluster) VALUES (%s, %s, %s, %s) RETURNING id"


async def routes(process: Process) -> Routes:
    """`POST /orders?person=7&item=3[&key=K]` buys, `GET /orders/7` says how many a person has; a key names one try."""
    database = await process.database()
    users = process.downstream("users", max_age=float(process.settings.text("USERS_MAX_AGE_SECONDS", "30")))
    payments = process.downstream("payments")
    stock = RpcDownstream("stock", process.settings.text("STOCK_ADDRESS", "stock:9090"))
    process.close_later(stock.close)

    async def buy(request: Request, trail: Trail) -> Response:
        person, item = int(request.query.get("person", "0")), int(request.query.get("item", "0"))
        key = request.query.get("key") or uuid.uuid4().hex
        buyer, _ = await asyncio.gather(
            users.ask(trail, "GET", f"/users/{person}"), stock.ask(trail, RESERVE, {"item": item})
        )
        await payments.ask(trail, "POST", f"/payments/{person}?cents=100")
        ((number,),) = await database.run(INSERT, (key, person, item, process.settings.cluster))
        await process.redis.set(LATEST, json.dumps({"order": number, "for": buyer["name"]}))
        return Response(status=201, body=json.dumps({"order": number, "key": key, "item": item}).encode())

    async def count(request: Request, trail: Trail) -> Response:  # noqa: ARG001
        person = int(request.path.removeprefix("/orders/"))
        ((orders,),) = await database.run(
            "SELECT count(*) FROM (SELECT 1 FROM orders WHERE person = %s LIMIT 100) o", (person,)
        )
        return Response(body=json.dumps({"person": person, "orders": orders}).encode())

    return {"POST /orders": buy, "GET /orders": count}


if __name__ == "__main__":
    run_http("orders", routes)
