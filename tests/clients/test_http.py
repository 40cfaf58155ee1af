"""The HTTP client: lines of any length as they come, errors of ours, one connection for one request after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from landbridge.clients.http import AT_ONCE, Answer, Http, NoAnswerError, Question

Write = Callable[[asyncio.StreamWriter], None]


@asynccontextmanager
async def server(answer: bytes, *, opened: list[str] | None = None, unix: Path | None = None) -> AsyncIterator[str]:
    """Gives every request the same answer; the paths that were asked for by connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: asyncio.Task[None] | None = asyncio.current_task()
        tasks.add(task)  # type: ignore[arg-type]
        if opened is not None:
            opened.append("")
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if opened is not None:
                    opened[-1] += head.split()[1].decode() + " "
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    if unix:
        made = await asyncio.start_unix_server(serve, unix)
        yield "http://unix"
    else:
        made = await asyncio.start_server(serve, "127.0.0.1", 0)
        yield f"http://127.0.0.1:{made.sockets[0].getsockname()[1]}"
    made.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def whole(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def client(unix: str | None = None) -> AsyncIterator[Http]:
    http = Http(unix=unix, trust_env=False)
    try:
        yield http
    finally:
        await http.close()


async def test_one_connection_serves_one_request_after_another() -> None:
    opened: list[str] = []
    async with server(whole(b'{"a": 1}'), opened=opened) as url, client() as http:
        for path in ("/one", "/two"):
            answer = await http.ask(Question(method="GET", url=url + path))
            assert (answer.status, answer.path, answer.json()) == (200, path, {"a": 1})
    assert opened == ["/one /two "]


async def test_a_query_of_the_url_and_one_apart() -> None:
    opened: list[str] = []
    async with server(whole(b""), opened=opened) as url, client() as http:
        await http.ask(Question(method="GET", url=f"{url}/stats?filter=%5Ea%7Cb%24", params={}))
        await http.ask(Question(method="GET", url=f"{url}/list", params={"labelSelector": "a=b,c", "continue": "x+/="}))
    first, second = opened[0].split()
    assert parse_qs(urlsplit(first).query) == {"filter": ["^a|b$"]}
    assert parse_qs(urlsplit(second).query) == {"labelSelector": ["a=b,c"], "continue": ["x+/="]}


async def test_lines_of_any_length_come_as_they_are() -> None:
    long = b"x" * 3_000_000
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for part in (b"one\ntw", b"o\n" + long, b"\nlast"):
        chunked += f"{len(part):x}\r\n".encode() + part + b"\r\n"
    async with (
        server(chunked + b"0\r\n\r\n") as url,
        client() as http,
        http.stream(Question(method="GET", url=url)) as found,
    ):
        assert not isinstance(found, Answer)
        assert [line async for line in found] == [b"one", b"two", long, b"last"]


async def test_a_stream_that_is_refused_is_an_answer() -> None:
    async with (
        server(whole(b"no", "403 Forbidden")) as url,
        client() as http,
        http.stream(Question(method="GET", url=url)) as found,
    ):
        assert isinstance(found, Answer)
        assert (found.status, found.reason, found.text) == (403, "Forbidden", "no")
        with pytest.raises(ValueError, match="Expecting value"):
            found.json()


async def test_a_redirect_is_not_followed() -> None:
    opened: list[str] = []
    moved = b"HTTP/1.1 302 Found\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n"
    async with server(moved, opened=opened) as url, client() as http:
        assert (await http.ask(Question(method="GET", url=f"{url}/here"))).status == 302
    assert opened == ["/here "]


async def test_a_socket_of_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "admin"
    async with server(whole(b"ready"), unix=path) as url, client(str(path)) as http:
        assert (await http.ask(Question(method="GET", url=f"{url}/ready"))).content == b"ready"


async def test_nobody_there_and_no_answer_in_time() -> None:
    async with client() as http:
        with pytest.raises(NoAnswerError, match=r"127.0.0.1:1: Connect"):
            await http.ask(Question(method="GET", url="http://127.0.0.1:1"))
        async with server(b"") as url:
            with pytest.raises(NoAnswerError, match="no answer in time"):
                await http.ask(Question(method="GET", url=url, seconds=0.05))
        async with server(whole(b"cut off")[:-3]) as url:
            with pytest.raises(NoAnswerError, match="no answer in time"):
                await http.ask(Question(method="GET", url=url, seconds=0.05))


async def test_questions_share_so_many_connections_and_streams_have_their_own() -> None:
    opened: list[str] = []
    async with server(whole(b"x"), opened=opened) as url, client() as http:
        asked = [http.ask(Question(method="GET", url=url)) for _ in range(4 * AT_ONCE)]
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        assert len(opened) <= AT_ONCE
        before = len(opened)
        async with http.stream(Question(method="GET", url=url)):
            assert (await http.ask(Question(method="GET", url=url))).content == b"x"
        assert len(opened) == before + 1


async def test_the_environments_proxy_is_asked_and_those_beside_it_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with server(whole(b"the proxy")) as proxy, server(whole(b"the server")) as near:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        http = Http()
        try:
            far = await http.ask(Question(method="GET", url="http://far.invalid/"))
            beside = await http.ask(Question(method="GET", url=near))
        finally:
            await http.close()
        assert (far.content, beside.content) == (b"the proxy", b"the server")


async def test_who_asks_after_the_end_opens_nothing() -> None:
    """A loop that is ended later than its client would open a session that nobody closes."""
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as url:
        http = Http()
        await http.ask(Question(method="GET", url=url))
        await http.close()
        with pytest.raises(NoAnswerError, match="closed"):
            await http.ask(Question(method="GET", url=url))
        assert not http._sessions
