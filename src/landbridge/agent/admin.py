"""Envoy's admin interface, seen from the same pod; it is never offered to anybody else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from landbridge.clients.http import Http, NoAnswerError, Question
from landbridge.errors import LandbridgeError

PORT = 15000
TIMEOUT = 2.0


class EnvoyAwayError(LandbridgeError):
    """Envoy does not answer: it is starting, restarting, or gone."""


class Admin:
    """GET from 127.0.0.1:15000, or from a unix socket when `address` is a path."""

    def __init__(self, address: str = f"127.0.0.1:{PORT}") -> None:
        path = address.removeprefix("unix:") if "/" in address else None
        self._base = "http://envoy" if path else f"http://{address}"
        self._http = Http(unix=path, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """One page; EnvoyAwayError when Envoy does not answer with 200 within 2 s."""
        question = Question(method="GET", url=self._base + path, params=query, seconds=TIMEOUT)
        try:
            answer = await self._http.ask(question)
        except NoAnswerError as error:
            raise EnvoyAwayError(f"Envoy does not answer: {error}", where=path) from None
        if answer.status != 200:
            raise EnvoyAwayError(f"Envoy answered {answer.status}", where=path)
        return answer.content

    async def json(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One page that is JSON."""
        found: dict[str, Any] = json.loads(await self.get(path, query))
        return found

    async def stats(self, regex: str) -> dict[str, Any]:
        """The stats whose name matches: numbers and texts by name."""
        found = await self.json("/stats", {"format": "json", "filter": regex})
        return {item["name"]: item["value"] for item in found["stats"] if "name" in item and "value" in item}
