"""users: who buys. Calls nobody; `orders` keeps its connections to it for long on purpose (see `orders`)."""

from __future__ import annotations

import json

from landbridge.lab.shop.wire.process import Process, Routes, run_http
from landbridge.lab.shop.wire.server import Request, Response
from landbridge.lab.shop.wire.trail import Trail

NAMES = ("Ada", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Leslie", "Frances")


async def routes(process: Process) -> Routes:  # noqa: ARG001
    """`GET /users/7` is one person; every number has one."""

    async def users(request: Request, trail: Trail) -> Response:  # noqa: ARG001
        number = int(request.path.removeprefix("/users").strip("/") or "0")
        person = {"id": number, "name": NAMES[number % len(NAMES)], "credit": 10_000}
        return Response(body=json.dumps(person).encode())

    return {"GET /users": users}


if __name__ == "__main__":
    run_http("users", routes)
