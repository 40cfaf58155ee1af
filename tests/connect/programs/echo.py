"""A service of the tests: HTTP on 8080 says which cluster served; on 7000 the server speaks first."""

# ruff: noqa: TID251, PTH110 - it runs in a pod, on the standard library alone

import asyncio
import os
import signal

CLUSTER = os.environ["CLUSTER"]


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *rest = head.decode().split("\r\n")
            fields = dict(field.lower().split(": ", 1) for field in rest if ": " in field)
            await reader.readexactly(int(fields.get("content-length", 0)))
            path = first.split()[1]
            if path.startswith("/slow"):
                await asyncio.sleep(float(path.rpartition("=")[2]))
            status = "500 Broken" if os.path.exists("/tmp/broken") else "200 OK"
            body = CLUSTER.encode()
            close = fields.get("connection") == "close"
            answer = f"HTTP/1.1 {status}\r\nx-served-by: {CLUSTER}\r\ncontent-length: {len(body)}\r\n"
            answer += "connection: close\r\n\r\n" if close else "\r\n"
            writer.write(answer.encode() + body)
            await writer.drain()
            if close:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(f"hello from {CLUSTER}\n".encode())
        while text := await reader.readline():
            writer.write(CLUSTER.encode() + b" " + text)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.start_server(http, "0.0.0.0", 8080, backlog=512)
    await asyncio.start_server(line, "0.0.0.0", 7000, backlog=512)
    await stop.wait()


asyncio.run(main())
