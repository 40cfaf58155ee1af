"""The shop's gRPC without generated code: JSON messages through generic handlers, and the standard health check.

The trail travels in trailing metadata. The server renews its connections (GOAWAY, then what is under way may end), the
usual way of spreading long HTTP/2 connections over new endpoints. It does so within the drain: calls that come while
gRPC's own stop is under way are cancelled (2 of 450 seen), so all clients must have gone by then.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from landbridge.lab.shop.wire.fault import Harm
from landbridge.lab.shop.wire.process import FINISH_SECONDS, Process, log
from landbridge.lab.shop.wire.trail import CallError, Trail

MAX_AGE_SHARE = 0.6  # of the drain; gRPC adds up to a tenth, and endpoints lag behind
CALL_SECONDS = 10.0
# grpc.health.v1.HealthCheckResponse has one field, number 1, an enum: these are its encodings.
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"

Method = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def encode(message: dict[str, Any]) -> bytes:
    """A message as it goes over the wire: JSON."""
    return json.dumps(message, separators=(",", ":")).encode()


def decode(data: bytes) -> dict[str, Any]:
    """A message that came. Raises ValueError."""
    message = json.loads(data or b"{}")
    if not isinstance(message, dict):
        raise ValueError("a message is a JSON object")
    return message


class RpcService:
    """Answers the unary methods of one gRPC service, with the fault in force."""

    def __init__(self, process: Process, name: str, methods: Mapping[str, Method]) -> None:
        self._process = process
        options = [
            ("grpc.max_connection_age_ms", int(process.settings.drain * MAX_AGE_SHARE * 1000)),
            ("grpc.max_connection_age_grace_ms", 20_000),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(options=options)
        handlers = {method: self._handler(body) for method, body in methods.items()}
        health = {"Check": grpc.unary_unary_rpc_method_handler(self._check)}
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(name, handlers),
                grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
            )
        )

    async def start(self) -> Callable[[], Awaitable[None]]:
        """Listen; the result closes again."""
        settings = self._process.settings
        port = self._server.add_insecure_port(f"{settings.host}:{settings.port}")
        await self._server.start()
        log.info("%s listens on port %d", self._process.place, port)

        async def close() -> None:
            await self._server.stop(FINISH_SECONDS)

        return close

    async def _check(self, request: bytes, context: Any) -> bytes:  # noqa: ARG002
        return NOT_SERVING if self._process.stopping.is_set() else SERVING

    def _handler(self, method: Method) -> Any:
        async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            trail = self._process.trail()
            harm = await self._process.harm()
            if harm is not Harm.NONE:
                await self._break(harm, trail, context)
            context.set_trailing_metadata(tuple(trail.headers().items()))
            return encode(await method(decode(request)))

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _break(self, harm: Harm, trail: Trail, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        code = {
            Harm.FAIL: grpc.StatusCode.INTERNAL,
            Harm.HANG: grpc.StatusCode.DEADLINE_EXCEEDED,
            Harm.RESET: grpc.StatusCode.UNAVAILABLE,  # gRPC cannot cut one call; unmarked, as a cut would be
        }[harm]
        if harm is not Harm.RESET:
            trail.broken = str(self._process.place)
        await context.abort(code, "broken on purpose", tuple(trail.headers().items()))


class RpcDownstream:
    """Another service as this one calls it over gRPC."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._channel = grpc.aio.insecure_channel(address)

    async def ask(self, trail: Trail, method: str, message: dict[str, Any]) -> dict[str, Any]:
        """The answer of a method given as `/package.Service/Method`; its trail is added to ours. Raises CallError."""
        call = self._channel.unary_unary(method)(encode(message), timeout=CALL_SECONDS)
        try:
            data = await call
        except grpc.aio.AioRpcError as error:
            trail.follow(_metadata(error.trailing_metadata()))
            broken = f" ({trail.broken})" if trail.broken else ""
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            reason = f"{error.code().name}{broken} {' '.join((error.details() or '').split())}"
            raise CallError(self.name, reason, status=504 if late else 502) from error
        trail.follow(_metadata(await call.trailing_metadata()))
        return decode(data)

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close()


def _metadata(items: Any) -> dict[str, str]:
    return {key: value for key, value in items or () if isinstance(value, str)}
