"""Values that people write in migration.yaml and plan.yaml, with what makes each of them good."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from landbridge.laws.window import read_window
from landbridge.model.service import Protocol, ServiceId

DEFAULT_STEPS = (1, 5, 10, 25, 50, 75, 95, 100)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_duration(value: Any) -> Any:
    """Seconds from a number or from text such as `90s`, `5m`, `1h30m`; ValueError otherwise."""
    if isinstance(value, str):
        parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([smhd])", value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            raise ValueError(f"{value!r} is not a duration such as 90s, 5m or 1h30m")
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("has to be a duration such as 90s, 5m or 1h30m")
    return value


def read_id(value: str) -> str:
    """`namespace/name`; ValueError otherwise."""
    return str(ServiceId.parse(value))


def read_spoken(value: Protocol) -> Protocol:
    """What a TCP port may be said to speak; ValueError for what a waypoint does not carry."""
    if value is Protocol.UDP:
        raise ValueError("a waypoint carries no UDP: http, grpc or tcp")
    return value


def read_steps(steps: tuple[int, ...]) -> tuple[int, ...]:
    """Weights in percent: rising, within 1 to 100, the last one 100."""
    if any(not 1 <= step <= 100 for step in steps):
        raise ValueError("weights are whole percents from 1 to 100")
    if any(after <= before for before, after in pairwise(steps)):
        raise ValueError("weights have to rise from step to step")
    if not steps or steps[-1] != 100:
        raise ValueError("the last weight has to be 100")
    return steps


Spoken = Annotated[Protocol, AfterValidator(read_spoken)]
Duration = Annotated[float, BeforeValidator(read_duration), Field(ge=0, le=366 * 86400)]
Id = Annotated[str, AfterValidator(read_id)]
Hours = Annotated[str, AfterValidator(read_window)]
Steps = Annotated[tuple[int, ...], AfterValidator(read_steps)]
