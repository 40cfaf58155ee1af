"""cart: what a person is about to buy, kept in Redis; asks stock over gRPC before more is put into it."""

from __future__ import annotations

import json

from landbridge.lab.shop.stock import CHECK
from landbridge.lab.shop.wire.process import Process, Routes, run_http
from landbridge.lab.shop.wire.rpc import RpcDownstream
from landbridge.lab.shop.wire.server import Request, Response
from landbridge.lab.shop.wire.trail import Trail

KEEP_SECONDS = 3600


async def routes(process: Process) -> Routes:
    """`GET /carts/7` shows a cart, `POST /carts/7?item=3` puts one more into it."""
    stock = RpcDownstream("stock", process.settings.text("STOCK_ADDRESS", "stock:9090"))
    process.close_later(stock.close)

    async def show(request: Request, trail: Trail) -> Response:  # noqa: ARG001
        person = int(request.path.removeprefix("/carts/"))
        held = await process.redis.hgetall(f"cart:{person}")
        items = {int(item): int(count) for item, count in held.items()}
        return Response(body=json.dumps({"person": person, "items": items}).encode())

    async def put(request: Request, trail: Trail) -> Response:
        person, item = int(request.path.removeprefix("/carts/")), int(request.query.get("item", "0"))
        left = await stock.ask(trail, CHECK, {"item": item})
        pipeline = process.redis.pipeline(transaction=False)
        pipeline.hincrby(f"cart:{person}", str(item), 1)
        pipeline.expire(f"cart:{person}", KEEP_SECONDS)
        count, _ = await pipeline.execute()
        return Response(body=json.dumps({"person": person, "item": item, "count": count, "stock": left}).encode())

    return {"GET /carts": show, "POST /carts": put}


if __name__ == "__main__":
    run_http("cart", routes)
