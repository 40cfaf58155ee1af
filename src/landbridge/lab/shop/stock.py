"""stock: how many of each item are left. gRPC (`shop.Stock`, JSON messages); counts reservations in Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from landbridge.lab.shop.wire.process import Process, run
from landbridge.lab.shop.wire.rpc import RpcService

SERVICE = "shop.Stock"
CHECK, RESERVE = f"/{SERVICE}/Check", f"/{SERVICE}/Reserve"
FULL = 1_000_000


async def main(process: Process) -> None:
    """`Check {"item"}` tells what is left as last seen here; `Reserve {"item"}` takes one."""
    reserved: dict[int, int] = {}

    async def check(message: dict[str, Any]) -> dict[str, Any]:
        item = int(message.get("item", 0))
        return {"item": item, "left": FULL - reserved.get(item, 0)}

    async def reserve(message: dict[str, Any]) -> dict[str, Any]:
        item = int(message.get("item", 0))
        reserved[item] = int(await process.redis.hincrby("stock", str(item), 1))
        return {"item": item, "left": FULL - reserved[item]}

    async def start() -> Callable[[], Awaitable[None]]:
        return await RpcService(process, SERVICE, {"Check": check, "Reserve": reserve}).start()

    await process.live(start)


if __name__ == "__main__":
    run("stock", 9090, main)
