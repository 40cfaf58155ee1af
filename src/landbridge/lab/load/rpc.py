"""Calls a unary gRPC method with the bytes it is given."""

from __future__ import annotations

import asyncio
from typing import Any

from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.lab.load.tally import Outcome
from landbridge.lab.load.target import Target

CLOSING = 5.0
"""Seconds for channels to close: the summary does not wait for one that hangs."""


class RpcCaller:
    """Sends the calls of one target over one channel, which is replaced when it is `max_age` old."""

    def __init__(self, target: Target, clock: Clock) -> None:
        try:
            import grpc.aio
        except ImportError as error:
            raise LandbridgeError("grpcio is missing", advice="install landbridge[lab]") from error
        self._grpc = grpc
        self._target = target
        self._clock = clock
        self._born = 0.0
        self._channel: Any = None
        self._old: set[asyncio.Task[None]] = set()

    async def send(self, number: int) -> Outcome:
        """Make call number `number`."""
        call = self._get_call()(self._target.body.replace("{n}", str(number)).encode(), timeout=self._target.timeout)
        try:
            await call
        except self._grpc.aio.AioRpcError as error:
            return _read_outcome(error.code().name, error.trailing_metadata())
        return _read_outcome("OK", await call.trailing_metadata())

    def _get_call(self) -> Any:
        now = self._clock.monotonic()
        expired = self._target.fresh or (self._target.max_age and now - self._born > self._target.max_age)
        if self._channel is None or expired:
            self._retire()
            # without a pool of its own, a new channel would take over the old one's connection
            options = [("grpc.use_local_subchannel_pool", 1)]
            address = f"{self._target.host}:{self._target.port}"
            self._channel = self._grpc.aio.insecure_channel(address, options=options)
            self._born = now
        return self._channel.unary_unary(self._target.path)

    def _retire(self) -> None:
        if self._channel is not None:
            task = asyncio.create_task(self._channel.close(grace=self._target.timeout))
            self._old.add(task)
            task.add_done_callback(self._old.discard)

    async def close(self) -> None:
        """Close all channels; one that hangs has nothing under way any more, for that has ended before."""
        self._retire()
        if self._old:
            await asyncio.wait(self._old, timeout=CLOSING)


def _read_outcome(code: str, metadata: Any) -> Outcome:
    said = {str(name): str(value) for name, value in metadata or ()}
    return Outcome(
        kind=code,
        ok=code == "OK",
        side=said.get("x-served-by", ""),
        broken=said.get("x-broken-copy", ""),
        chain=said.get("x-served-chain", ""),
    )
