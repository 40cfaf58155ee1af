"""Real platforms on one machine: the demo, the tests and a user's rehearsal run on them. `landbridge lab --help`.

Names are imported when they are first used, for the shop's programs live below this package and start in every pod.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landbridge.lab.databases import Databases
    from landbridge.lab.images.build import build_image
    from landbridge.lab.lab import Lab, get_lab, start_lab, stop_lab, up
    from landbridge.lab.standalone import ApiServer, apiserver, start_apiserver, stop_apiserver

_HOMES = {
    "ApiServer": "standalone",
    "Databases": "databases",
    "Lab": "lab",
    "apiserver": "standalone",
    "build_image": "images.build",
    "get_lab": "lab",
    "start_apiserver": "standalone",
    "start_lab": "lab",
    "stop_apiserver": "standalone",
    "stop_lab": "lab",
    "up": "lab",
}

__all__ = [
    "ApiServer",
    "Databases",
    "Lab",
    "apiserver",
    "build_image",
    "get_lab",
    "start_apiserver",
    "start_lab",
    "stop_apiserver",
    "stop_lab",
    "up",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for."""
    if name not in _HOMES:
        raise AttributeError(name)
    return getattr(importlib.import_module(f"landbridge.lab.{_HOMES[name]}"), name)
