"""Breaking the copies of one service in one cluster at run time, and mending them again.

The key `fault:<service>:<cluster>` in Redis holds JSON, read by each copy every other second:
`{"fail": 0.2, "slow_ms": 0, "hang": 0.0, "hang_ms": 4000, "reset": 0.0}`.
`fail`, `hang` and `reset` are shares of the requests from 0 to 1: answered 500 at once; held for `hang_ms` and answered
504; cut without an answer. `slow_ms` delays every request. Answers that fail on purpose carry `x-broken-copy`; what is
cut, or held longer than a caller waits (10 s), cannot. Without the key a copy is sound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from dataclasses import asdict, dataclass
from enum import StrEnum

from redis.asyncio import Redis
from redis.exceptions import RedisError

from landbridge.clock import Clock

EVERY = 2.0  # each of forty copies asks: twice a second was a tenth of a core
log = logging.getLogger(__name__)


class Harm(StrEnum):
    """What happens to one request."""

    NONE = "none"
    FAIL = "fail"
    HANG = "hang"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How a copy is broken; the default is not at all."""

    fail: float = 0.0
    slow_ms: float = 0.0
    hang: float = 0.0
    hang_ms: float = 4000.0
    reset: float = 0.0

    def harm(self, chance: float) -> Harm:
        """What to do to a request that drew `chance` from [0, 1)."""
        for harm, share in ((Harm.FAIL, self.fail), (Harm.HANG, self.hang), (Harm.RESET, self.reset)):
            if chance < share:
                return harm
            chance -= share
        return Harm.NONE

    def to_json(self) -> str:
        """As it stands in Redis."""
        return json.dumps(asdict(self))


SOUND = Fault()


def parse_fault(text: str | bytes | None) -> Fault:
    """A fault from its JSON; nothing means sound. Raises ValueError for anything else that is not a fault."""
    if not text:
        return SOUND
    fields = json.loads(text)
    if not isinstance(fields, dict) or not fields.keys() <= asdict(SOUND).keys():
        raise ValueError(f"a fault has the fields {', '.join(asdict(SOUND))}, not {text!r}")
    if not all(isinstance(value, int | float) and value >= 0 for value in fields.values()):
        raise ValueError(f"the fields of a fault are numbers from 0 on, not {text!r}")
    return Fault(**{name: float(value) for name, value in fields.items()})


def key(service: str, cluster: str) -> str:
    """The key in Redis that breaks these copies."""
    return f"fault:{service}:{cluster}"


class FaultWatch:
    """Keeps `current` as Redis says; an unreadable answer or a lost connection changes nothing."""

    def __init__(self, redis: Redis, service: str, cluster: str, clock: Clock) -> None:
        self.current = SOUND
        self._redis = redis
        self._key = key(service, cluster)
        self._clock = clock

    async def run(self) -> None:
        """Read for ever."""
        while True:
            try:
                self.current = parse_fault(await self._redis.get(self._key))
            except (RedisError, OSError, ValueError) as error:
                log.warning("fault not read: %s", error)
            await self._clock.sleep(EVERY)


async def set_fault(redis_host: str, service: str, cluster: str, fault: Fault, *, port: int = 6379) -> None:
    """Break the copies of `service` in `cluster`, or mend them with `SOUND`; in force after two seconds."""
    async with Redis(host=redis_host, port=port, socket_timeout=5) as redis:
        if fault == SOUND:
            await redis.delete(key(service, cluster))
        else:
            await redis.set(key(service, cluster), fault.to_json())


def main() -> None:
    """`python -m landbridge.lab.shop.wire.fault payments eks --fail 0.2`; without shares it mends."""
    parser = argparse.ArgumentParser(description="Break or mend the copies of one service in one cluster.")
    parser.add_argument("service")
    parser.add_argument("cluster")
    parser.add_argument("--redis", default=os.environ.get("REDIS_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("REDIS_PORT") or "6379"))
    for name, default in asdict(SOUND).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=default)
    given = vars(parser.parse_args())
    fault = Fault(**{name: given[name] for name in asdict(SOUND)})
    asyncio.run(set_fault(given["redis"], given["service"], given["cluster"], fault, port=given["port"]))


if __name__ == "__main__":
    main()
