"""Copies come and go under load, behind addresses that pick a copy once per connection, as kube-proxy does."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import httpx2

from landbridge.clock import SystemClock
from tests.shop.programs import Balancer, Copy, Starter, start_shop

CLOCK = SystemClock()
RATE = 100
SECONDS = 9
ENDPOINTS_LAG = 0.3
"""Seconds after SIGTERM during which the address still leads to the copy that goes."""


async def load(port: int, counts: Counter[str]) -> None:
    """Open loop: buy and look at pages at a fixed rate; every request is counted."""
    limits = httpx2.Limits(max_connections=None, keepalive_expiry=1)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, limits=limits) as http:

        async def ask(number: int) -> None:
            try:
                if number % 2:
                    answer = await http.get(f"/?person={number}")
                else:
                    answer = await http.post(f"/buy?person={number}&item=3&key={number}")
                failed = answer.headers.get("x-failed-call", "")
                counts[f"{answer.status_code} {failed}".strip()] += 1
                for place in answer.headers["x-served-chain"].split(","):
                    counts[place] += 1
            except httpx2.HTTPError as error:
                counts[repr(error)] += 1

        began, asking = CLOCK.monotonic(), []
        for number in range(RATE * SECONDS):
            await CLOCK.sleep(max(0.0, began + number / RATE - CLOCK.monotonic()))
            asking.append(asyncio.create_task(ask(number)))
        await asyncio.gather(*asking)


async def test_copies_of_every_protocol_go_under_load_and_no_request_fails(starter: Starter) -> None:
    names = ("users", "stock", "ledger")
    counts: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        pairs = {name: [await starter.start(name, node) for node in ("legacy", "eks")] for name in names}
        addresses = {
            name: await stack.enter_async_context(Balancer(*(copy.port for copy in pair)))
            for name, pair in pairs.items()
        }
        shop = await start_shop(starter, **{name: address.port for name, address in addresses.items()})
        pairs["web"] = [shop["web"], await starter.start("web", "legacy", **web_urls(shop, addresses))]
        addresses["web"] = await stack.enter_async_context(Balancer(*(copy.port for copy in pairs["web"])))
        loading = asyncio.create_task(load(addresses["web"].port, counts))
        await CLOCK.sleep(2)
        # An address leads its first connection to the second copy: those that go have served before.
        codes = await asyncio.gather(*(take_away(addresses[name], pairs[name][1]) for name in pairs))
        await loading
    assert codes == [0] * len(pairs)
    assert {name: count for name, count in counts.items() if "@" not in name} == {
        "200": RATE * SECONDS // 2,
        "201": RATE * SECONDS // 2,
    }
    assert all(counts[f"{name}@{cluster}"] for name in pairs for cluster in ("legacy", "eks")), counts


def web_urls(shop: dict[str, Copy], balancers: dict[str, Balancer]) -> dict[str, str]:
    ports = {name: copy.port for name, copy in shop.items()} | {name: b.port for name, b in balancers.items()}
    return {f"{name.upper()}_URL": f"http://127.0.0.1:{ports[name]}" for name in ("catalog", "cart", "users", "orders")}


async def take_away(balancer: Balancer, copy: Copy) -> int:
    copy.ask_to_go()
    await CLOCK.sleep(ENDPOINTS_LAG)
    balancer.targets.remove(copy.port)
    return await copy.end()
