"""HTTP/1.1 as the engine speaks it over its socket: requests whose answers are read as they come.

The standard library's client loads the parser of e-mails for a few lines of headers, a tenth of the time that a cached
build may take. Connections are kept for the next request. Must not know the engine's API.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

_CHUNK = 1 << 16
_LONGEST_HEAD = 1 << 16
#: so much of a body is sent at once
_PIECE = 1 << 18

#: A body: all of it, a file to read, or pieces.
Body = bytes | IO[bytes] | Iterable[bytes]


class Wire:
    """One connection, with what was received and not yet asked for."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ahead = bytearray()
        self.is_used = False

    def more(self) -> bool:
        """Wait for more; False at the end."""
        data = self.sock.recv(_CHUNK)
        self.ahead += data
        return bool(data)

    def take(self, most: int) -> bytes:
        data = bytes(self.ahead[:most])
        del self.ahead[:most]
        return data

    def line(self) -> bytes:
        while (end := self.ahead.find(b"\n")) < 0:
            if len(self.ahead) > _LONGEST_HEAD or not self.more():
                raise ConnectionError("the engine's answer broke off")
        return self.take(end + 1).rstrip(b"\r\n")

    def is_quiet(self) -> bool:
        """Whether the other side has neither said anything nor hung up, as it must not between requests."""
        return not self.ahead and not select.select([self.sock], [], [], 0)[0]

    # as a connection of its own, once it was taken over

    def recv(self, size: int, /) -> bytes:
        return self.take(size) if self.ahead else self.sock.recv(size)

    def sendall(self, data: bytes, /) -> None:
        self.sock.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        self.sock.settimeout(seconds)

    def shutdown(self, how: int) -> None:
        self.sock.shutdown(how)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Answer:
    """An answer whose body has not been read yet. Read it to its end, or close it."""

    def __init__(self, wire: Wire, status: int, headers: Mapping[str, str], keep: Callable[[Wire], None]) -> None:
        self.status = status
        self.headers = headers
        self._wire = wire
        self._keep = keep
        self._pieces = self._read()
        self._is_over = False

    def __iter__(self) -> Iterator[bytes]:
        """The body, in pieces as they arrive."""
        return self._pieces

    def _read(self) -> Iterator[bytes]:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif self.status in (204, 304):
            pass
        elif (length := self.headers.get("content-length")) is not None:
            yield from self._exactly(int(length))
        else:
            yield from iter(lambda: self._wire.recv(_CHUNK), b"")
            self._wire.close()
            return
        self._is_over = True
        if self.headers.get("connection", "").lower() == "close":
            self._wire.close()
        else:
            self._keep(self._wire)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._wire.line().partition(b";")[0], 16):
            yield from self._exactly(size)
            self._wire.line()
        while self._wire.line():
            pass  # trailers

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._wire.ahead and not self._wire.more():
                raise ConnectionError("the engine's answer broke off")
            data = self._wire.take(size)
            size -= len(data)
            yield data

    def read(self) -> bytes:
        """All of the body."""
        return b"".join(self._pieces)

    def take_over(self) -> Wire:
        """The connection, which carries something else from here on."""
        return self._wire

    def close(self) -> None:
        """Whoever reads the body in another thread sees its end. Harmless once all was read."""
        if not self._is_over:
            self._wire.close()


class Coming:
    """An answer that is on its way. Take it once, or close it."""

    def __init__(self, wire: Wire, take: Callable[[], Answer]) -> None:
        self._wire = wire
        self.take = take

    def close(self) -> None:
        self._wire.close()


class Http1:
    """Requests to one address. Thread-safe; `connect` opens a connection to it."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[Wire] = []
        self._closed = False

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: Body = b"",
        timeout: float | None,
    ) -> Answer:
        """Ask, and return when the head of the answer is there. `timeout` is for each wait, in seconds.

        Raises OSError."""
        wire = self._wire()
        try:
            try:
                return self._ask(wire, method, target, headers, body, timeout)
            except (ConnectionError, EOFError):
                # a connection that was used before may have ended meanwhile; what changes something is not said twice
                if not wire.is_used or method != "GET":
                    raise
            wire.close()
            wire = Wire(self._connect())
            return self._ask(wire, method, target, headers, body, timeout)
        except BaseException:
            wire.close()
            raise

    def begin(self, target: str, *, headers: Mapping[str, str], timeout: float | None) -> Coming:
        """Ask for something, and go on: the answer is taken later, or never. Raises OSError."""
        wire = Wire(self._connect())
        try:
            wire.settimeout(timeout)
            wire.sendall(_head("GET", target, headers))
        except BaseException:
            wire.close()
            raise
        return Coming(wire, lambda: self._answer(wire))

    def _wire(self) -> Wire:
        with self._lock:
            while self._idle:
                wire = self._idle.pop()
                if wire.is_quiet():
                    return wire
                wire.close()
        return Wire(self._connect())

    def _ask(
        self, wire: Wire, method: str, target: str, headers: Mapping[str, str], body: Body, timeout: float | None
    ) -> Answer:
        wire.settimeout(timeout)
        fields = dict(headers)
        if isinstance(body, bytes):
            if body or method in ("POST", "PUT"):
                fields["Content-Length"] = str(len(body))
        else:
            fields["Transfer-Encoding"] = "chunked"
        start = _head(method, target, fields)
        if isinstance(body, bytes):
            wire.sendall(start + body)
        else:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer says why it wants no more
                _send(wire, start, body)
        return self._answer(wire)

    def _answer(self, wire: Wire) -> Answer:
        status = 100
        while 100 <= status < 200 and status != 101:
            words = wire.line().split(b" ", 2)
            if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
                raise ConnectionError("the engine does not answer in HTTP")
            status = int(words[1])
            headers = {}
            while line := wire.line():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.strip().lower()] = value.strip()
        return Answer(wire, status, headers, self._keep)

    def _keep(self, wire: Wire) -> None:
        wire.is_used = True
        with self._lock:
            if not self._closed:
                self._idle.append(wire)
                return
        wire.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for wire in idle:
            wire.close()


def _head(method: str, target: str, fields: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {_plain(value)}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def _send(wire: Wire, start: bytes, body: Any) -> None:
    wire.sendall(start)
    pieces = iter(lambda: body.read(_PIECE), b"") if hasattr(body, "read") else body
    for piece in pieces:
        if piece:
            wire.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    wire.sendall(b"0\r\n\r\n")


def _plain(value: str) -> str:
    """A header's value cannot begin a header of its own."""
    if "\r" in value or "\n" in value:
        raise ValueError("a header's value must stay on its line")
    return value
