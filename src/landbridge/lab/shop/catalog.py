"""catalog: what the shop sells. Calls nobody."""

from __future__ import annotations

import json
from typing import Any

from landbridge.lab.shop.wire.process import Process, Routes, run_http
from landbridge.lab.shop.wire.server import Request, Response
from landbridge.lab.shop.wire.trail import Trail

ITEMS: list[dict[str, Any]] = [
    {"id": number, "name": name, "cents": 250 + 175 * number}
    for number, name in enumerate(
        ("lamp", "kettle", "chair", "rope", "anchor", "compass", "sail", "bell", "net", "oar")
    )
]


async def routes(process: Process) -> Routes:  # noqa: ARG001
    """`GET /items` lists all, `GET /items/3` is one."""
    listed = json.dumps(ITEMS).encode()
    single = [json.dumps(item).encode() for item in ITEMS]

    async def items(request: Request, trail: Trail) -> Response:  # noqa: ARG001
        number = request.path.removeprefix("/items").strip("/")
        if not number:
            return Response(body=listed)
        at = int(number)
        return Response(body=single[at]) if 0 <= at < len(single) else Response(status=404)

    return {"GET /items": items}


if __name__ == "__main__":
    run_http("catalog", routes)
