"""HTTP/1.1 for all who ask: API servers, Prometheus, Envoy's admin interface, agents.

aiohttp, whose parser is C: a request costs 0.14 ms of CPU, and 0.65 ms with httpx 2.16; a run of 409 services is
hundreds of them a second.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

CONNECT = 5.0
"""Seconds for a connection, TLS included."""
KEPT = 30.0
"""Seconds that an idle connection is kept; API servers close theirs after 90."""
AT_ONCE = 24
"""Connections for questions; who asks more waits for one. asyncio keeps 256 KB for each that has TLS: an agent of 300
mirrors had 112 MB without a limit, and 85 with it."""


class NoAnswerError(Exception):
    """Nothing came back, or not in time; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whole. `path` is what was asked for."""

    method: str
    path: str
    status: int
    reason: str
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request. `url` is absolute; `seconds` is how long the other end may be silent."""

    method: str
    url: str
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    content: bytes | Mapping[str, str] | None = None
    seconds: float = 30.0
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    proxy: str | None = None


class Http:
    """Keeps connections for one question after another; a stream has one of its own.

    `trust_env`: proxies of the environment are used.
    """

    def __init__(self, *, unix: str | None = None, trust_env: bool = True) -> None:
        self._unix = unix
        self._trust_env = trust_env
        self._proxies: dict[str, str | None] = {}
        self._sessions: dict[int, aiohttp.ClientSession] = {}
        self._closed = False

    async def close(self) -> None:
        """Close all connections; who asks after that gets NoAnswerError."""
        self._closed = True
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    async def ask(self, question: Question) -> Answer:
        """One answer, whatever its status; NoAnswerError when there is none."""
        async with self._asked(question, AT_ONCE) as response:
            return await _whole(question, response)

    @asynccontextmanager
    async def stream(self, question: Question) -> AsyncIterator[Answer | AsyncIterator[bytes]]:
        """The lines of an answer as they come, or the whole answer where its status is 400 or above."""
        async with self._asked(question, 0) as response:
            yield await _whole(question, response) if response.status >= 400 else _lines(response)

    @asynccontextmanager
    async def _asked(self, question: Question, limit: int) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=question.seconds)
        try:
            async with self._open(limit).request(
                question.method,
                question.url,
                params=question.params or None,  # {} would drop the url's own
                headers=question.headers,
                data=question.content,
                timeout=timeout,
                ssl=question.tls or True,
                server_hostname=question.server_name,
                proxy=question.proxy or self._proxy_of(question.url),
                allow_redirects=False,
            ) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoAnswerError(_told(error)) from error

    def _proxy_of(self, url: str) -> str | None:
        """The environment's proxy, looked up once for each host: aiohttp itself would for each request, in a thread,
        and read ~/.netrc besides, which was a tenth of a runner's work.
        """
        place = urlsplit(url)
        if place.netloc not in self._proxies:
            asked = self._trust_env and not self._unix and not proxy_bypass(place.netloc)
            self._proxies[place.netloc] = getproxies().get(place.scheme) if asked else None
        return self._proxies[place.netloc]

    def _open(self, limit: int) -> aiohttp.ClientSession:
        """The session of at most so many connections; 0 is no limit."""
        if self._closed:
            raise NoAnswerError("its connections were closed")
        if limit not in self._sessions:
            connector = (
                aiohttp.UnixConnector(self._unix, limit=limit, keepalive_timeout=KEPT)
                if self._unix
                else aiohttp.TCPConnector(limit=limit, keepalive_timeout=KEPT)
            )
            self._sessions[limit] = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self._sessions[limit]


async def _whole(question: Question, response: aiohttp.ClientResponse) -> Answer:
    return Answer(
        method=question.method,
        path=response.url.path,
        status=response.status,
        reason=response.reason or "",
        headers=response.headers,
        content=await response.read(),
    )


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines of any length: aiohttp's own reader refuses long ones, and an object may have 1.5 MB."""
    parts: list[bytes] = []
    async for chunk in response.content.iter_any():
        first, *more = chunk.split(b"\n")
        parts.append(first)
        for part in more:
            yield b"".join(parts)
            parts = [part]
    if last := b"".join(parts):
        yield last


def _told(error: BaseException) -> str:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time"
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorCertificateError():
            return str(error.certificate_error)
        case aiohttp.ClientConnectorError():
            return f"{error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed instead of an answer"
        case _:
            return str(error) or type(error).__name__
