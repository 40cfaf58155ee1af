"""payments: takes the money and has it written down by ledger, over its line protocol."""

from __future__ import annotations

import json

from landbridge.lab.shop.wire.lines import LineDownstream
from landbridge.lab.shop.wire.process import Process, Routes, run_http
from landbridge.lab.shop.wire.server import Request, Response
from landbridge.lab.shop.wire.trail import Trail


async def routes(process: Process) -> Routes:
    """`POST /payments/7?cents=500` books an amount for a person, `GET /payments/7` asks what was paid so far."""
    book = LineDownstream("ledger", *process.settings.address("LEDGER_ADDRESS", "ledger:7000"))
    process.close_later(book.close)

    async def pay(request: Request, trail: Trail) -> Response:
        person, cents = int(request.path.removeprefix("/payments/")), int(request.query.get("cents", "100"))
        total = await book.ask(trail, f"ADD {person} {cents}")
        return Response(body=json.dumps({"person": person, "paid": cents, "total": int(total)}).encode())

    async def paid(request: Request, trail: Trail) -> Response:
        person = int(request.path.removeprefix("/payments/"))
        total = await book.ask(trail, f"GET {person}")
        return Response(body=json.dumps({"person": person, "total": int(total)}).encode())

    return {"POST /payments": pay, "GET /payments": paid}


if __name__ == "__main__":
    run_http("payments", routes)
