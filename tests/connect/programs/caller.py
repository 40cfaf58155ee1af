"""Open-loop callers of the tests: a fixed rate over kept connections, new connections, and held ones.

Prints one JSON line a second with everything so far: nothing is dropped silently. `stale` counts requests that were
sent on a kept connection which had been closed before any answer came, and were sent again on a new one, as every
HTTP client does (RFC 9112, 9.3.1); it is shown and not a failure. SIDE asks for that side by header.
"""

# ruff: noqa: TID251, BLE001, T201 - it runs in a pod, on the standard library alone

import asyncio
import collections
import json
import os
import socket
import sys
import time

HOST, RATE, HELD = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
ASKED = f"x-landbridge-side: {side}\r\n".encode() if (side := os.environ.get("SIDE")) else b""
Answer = tuple[int, dict[str, str]]
ADDRESS = socket.gethostbyname(HOST)  # once: name servers are not under test here
COUNT: collections.Counter[str] = collections.Counter()
WHY: collections.Counter[str] = collections.Counter()
SLOW: list[float] = []
IDLE: collections.deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = collections.deque()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, close: bool) -> Answer:
    extra = ASKED + (b"connection: close\r\n" if close else b"")
    writer.write(b"GET / HTTP/1.1\r\nhost: " + HOST.encode() + b"\r\n" + extra + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    fields = dict(field.split(": ", 1) for field in lines if ": " in field)
    await reader.readexactly(int(fields.get("content-length", 0)))
    return int(lines[0].split()[1]), fields


async def once(close: bool) -> tuple[int, str]:
    if IDLE and not close:
        reader, writer = IDLE.popleft()
        try:
            return await finish(reader, writer, close)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            writer.close()
            if getattr(error, "partial", b""):
                raise
            COUNT["stale"] += 1
    reader, writer = await asyncio.open_connection(ADDRESS, 80)
    try:
        return await finish(reader, writer, close)
    except BaseException:
        writer.close()
        raise


async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, close: bool) -> tuple[int, str]:
    status, fields = await ask(reader, writer, close)
    if close or fields.get("connection") == "close":
        writer.close()
    else:
        IDLE.append((reader, writer))
    return status, fields.get("x-served-by", "nobody")


async def request(number: int) -> None:
    began = time.monotonic()
    COUNT["sent"] += 1
    try:
        async with asyncio.timeout(10):
            status, side = await once(close=number % 2 == 0)
        COUNT[side] += 1
        if status != 200:
            COUNT["failed"] += 1
            WHY[f"{status} from {side}"] += 1
    except Exception as error:
        COUNT["failed"] += 1
        WHY[repr(error)] += 1
    SLOW.append(time.monotonic() - began)


async def connection() -> None:
    """One new TCP connection: banner, one line, end."""
    COUNT["tcp_sent"] += 1
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(ADDRESS, 7000)
            banner = await reader.readline()
            writer.write(b"x\n")
            answer = await reader.readline()
            assert banner.startswith(b"hello from "), banner
            assert answer, "no answer to a line"
            COUNT["tcp_" + banner.decode().split()[-1]] += 1
            writer.close()
    except Exception as error:
        COUNT["tcp_failed"] += 1
        WHY[f"tcp {error!r}"] += 1


async def held() -> None:
    """A connection that is held and used once a second; when it ends it is opened again and counted."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(ADDRESS, 7000)
            await reader.readline()
            COUNT["held_opened"] += 1
            while True:
                writer.write(b"ping\n")
                if not await reader.readline():
                    break
                COUNT["held_lines"] += 1
                await asyncio.sleep(1)
        except OSError as error:
            WHY[f"held {error!r}"] += 1
        COUNT["held_closed"] += 1
        await asyncio.sleep(0.2)


async def report() -> None:
    while True:
        await asyncio.sleep(1)
        slow = sorted(SLOW)
        tail = {"p50": slow[len(slow) // 2], "p99": slow[int(len(slow) * 0.99)], "max": slow[-1]} if slow else {}
        print(json.dumps({"at": time.time(), **COUNT, "why": WHY, "seconds": tail}), flush=True)


async def main() -> None:
    tasks: list[asyncio.Task[None]] = [
        asyncio.create_task(report()),
        *(asyncio.create_task(held()) for _ in range(HELD)),
    ]
    began, number = time.monotonic(), 0
    while True:
        due = began + number / RATE
        if (late := due - time.monotonic()) > 0:
            await asyncio.sleep(late)
        tasks.append(asyncio.create_task(request(number)))
        if number % 5 == 0:
            tasks.append(asyncio.create_task(connection()))
        number += 1
        if number % 1000 == 0:
            tasks = [task for task in tasks if not task.done()]


asyncio.run(main())
