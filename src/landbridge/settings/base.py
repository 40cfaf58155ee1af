"""What every part of migration.yaml is made of."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def read_label(value: str) -> str:
    """A name that can stand in object names: a DNS label (RFC 1123)."""
    if not _LABEL.match(value):
        raise ValueError(f"{value!r} has to be lower-case letters, digits and '-', at most 63")
    return value


class Settings(BaseModel):
    """What all parts of the file have in common: unknown names are mistakes, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


Label = Annotated[str, AfterValidator(read_label)]
