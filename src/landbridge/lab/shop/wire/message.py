"""HTTP/1.1 messages cut out of a stream of bytes, the same for both ends of a connection."""

from __future__ import annotations

from dataclasses import dataclass

HEAD_LIMIT = 64 * 1024


class WireError(Exception):
    """The peer sent bytes that are not an HTTP/1.1 message."""


@dataclass(slots=True, kw_only=True)
class Message:
    """One request or response: its first line, its headers by lower-case name, its whole body."""

    start: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def closes(self) -> bool:
        """Whether the sender takes the connection away after this message."""
        return "close" in self.headers.get("connection", "").lower() or self.start.endswith("HTTP/1.0")


class Reader:
    """Collects bytes and gives back whole messages, oldest first."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def empty(self) -> bool:
        """Whether nothing of a next message has come yet."""
        return not self._buffer

    def feed(self, data: bytes) -> None:
        """Add what the transport received."""
        self._buffer += data

    def take(self) -> Message | None:
        """The next whole message, or None until more bytes come. Raises WireError."""
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise WireError("the head of a message is too long")
            return None
        message = _parse_head(self._buffer[:head_end])
        body_start = head_end + 4
        if "chunked" in message.headers.get("transfer-encoding", "").lower():
            return self._take_chunked(message, body_start)
        end = body_start + _length(message.headers)
        if len(self._buffer) < end:
            return None
        message.body = bytes(self._buffer[body_start:end])
        del self._buffer[:end]
        return message

    def _take_chunked(self, message: Message, at: int) -> Message | None:
        body = bytearray()
        while (line_end := self._buffer.find(b"\r\n", at)) >= 0:
            size = _chunk_size(self._buffer[at:line_end])
            at = line_end + 2
            if len(self._buffer) < at + size + 2:
                return None
            if size == 0:
                message.body = bytes(body)
                del self._buffer[: at + 2]
                return message
            body += self._buffer[at : at + size]
            at += size + 2
        return None


def _parse_head(head: bytes | bytearray) -> Message:
    start, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise WireError(f"not a header: {line[:80]!r}")
        headers[name.lower()] = value.strip()
    return Message(start=start, headers=headers)


def _length(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not text.isdecimal():
        raise WireError(f"not a content length: {text[:80]!r}")
    return int(text)


def _chunk_size(line: bytes | bytearray) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError as error:
        raise WireError(f"not a chunk size: {bytes(line[:80])!r}") from error


def render_head(start: str, headers: dict[str, str]) -> bytes:
    """The bytes of a message up to its body."""
    lines = [start, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def render_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; the empty one ends the body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
