"""What an agent remembers over its own restart: the weights in force and the leases that had run out.

A small file beside Envoy's; without it an agent that restarts beside an unreadable split would have nothing to hold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landbridge.agent.files import place
from landbridge.agent.split import Obeyed, Reason

NAME = "agent.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Weights in force by Service, and renewals that had run out by Lease."""

    obeyed: Mapping[str, Obeyed] = field(default_factory=dict)
    expired: Mapping[str, str] = field(default_factory=dict)


def load(folder: Path) -> Memory:
    """The memory in a folder; an absent or broken file is an empty memory."""
    try:
        document = json.loads((folder / NAME).read_text())
        obeyed = {name: _obeyed(entry) for name, entry in document["obeyed"].items()}
        expired = {str(name): str(mark) for name, mark in document["expired"].items()}
        return Memory(obeyed=obeyed, expired=expired)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Memory()


def save(folder: Path, memory: Memory) -> None:
    """Write it, whole or not at all."""
    obeyed = {
        name: {"weights": {str(port): dict(weights) for port, weights in item.weights.items()}, "reason": item.reason}
        for name, item in memory.obeyed.items()
    }
    document = {"obeyed": obeyed, "expired": dict(memory.expired)}
    place(folder / NAME, json.dumps(document, sort_keys=True).encode())


def _obeyed(entry: Mapping[str, Any]) -> Obeyed:
    weights = {
        int(port): {str(name): int(weight) for name, weight in found.items()}
        for port, found in entry["weights"].items()
    }
    return Obeyed(weights=weights, reason=Reason(entry["reason"]))
