"""Before a Service is adopted: does this waypoint pod reach the Service's pods and the other cluster's gateway?

A NetworkPolicy may keep a waypoint from pods that everybody else reaches. So a waypoint says that it serves a Service
only after it got through to one of its pods (waypoint.md 4). Asked while a Service is being adopted and not later: a
pod that falls silent in the middle of its life is Envoy's business, and must take no waypoint out of a slice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping

from landbridge.envoy.state import Endpoint, Listener, Waypoint

SECONDS = 2.0
AT_MOST = 3
"""Endpoints that are tried of each port: one that answers is enough."""


class Reach:
    """What was found out, by listener; what is no longer adopted is forgotten."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._gateways = ""

    async def look(self, state: Waypoint | None, adopting: Collection[str]) -> bool:
        """Try whatever was not reached yet; True when something new was learned."""
        listeners = [item for item in (state.listeners if state else ()) if item.service in adopting]
        before = dict(self._found)
        self._found = {item.key: before[item.key] for item in listeners if item.key in before}
        asked = [item for item in listeners if self._found.get(item.key, "?")]
        answers = await asyncio.gather(*(reached(_local(item)) for item in asked))
        self._found |= {item.key: answer for item, answer in zip(asked, answers, strict=True)}
        self._gateways = await reached(_gateways(listeners))
        return self._found != before

    def serves(self, item: Listener, adopting: Collection[str]) -> bool:
        """Whether a listener may be said to serve; of a Service that is not being adopted, always."""
        return item.service not in adopting or self._found.get(item.key) == ""

    @property
    def problems(self) -> list[str]:
        """What cannot be reached, in words."""
        pods = [f"pods of {key} cannot be reached from here: {why}" for key, why in sorted(self._found.items()) if why]
        return pods + ([f"the gateway cannot be reached from here: {self._gateways}"] if self._gateways else [])


async def reached(endpoints: Collection[Endpoint]) -> str:
    """Why none of some endpoints can be reached; empty when one can, or when there is none."""
    tried = sorted(endpoints, key=lambda item: (item.address, item.port))[:AT_MOST]
    answers = await asyncio.gather(*(_dial(item) for item in tried))
    return "" if not answers or "" in answers else "; ".join(answers)


async def _dial(endpoint: Endpoint) -> str:
    """Empty when it was reached: a port that nobody listens on was, and a policy does not refuse but swallows."""
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
        writer.close()
    except ConnectionRefusedError:
        return ""
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer in {SECONDS:g} s"
        return f"{endpoint.address}:{endpoint.port} ({why})"
    return ""


def _local(item: Listener) -> list[Endpoint]:
    return [endpoint for backend in item.backends for endpoint in backend.local or ()]


def _gateways(listeners: Iterable[Listener]) -> set[Endpoint]:
    remotes = [backend.remote for item in listeners for backend in item.backends]
    return {gateway for remote in remotes if remote is not None for gateway in remote.gateways}


def active(state: Waypoint | None, reach: Reach, adopting: Collection[str]) -> Mapping[str, int]:
    """The listeners that serve, with their ports, as `/state` says it."""
    listeners = state.listeners if state else ()
    return {item.key: item.listen for item in listeners if reach.serves(item, adopting)}
