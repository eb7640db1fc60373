"""Reads what a container prints from the engine's attach stream, byte for byte.

The multiplexed format is in the Engine API's description of ContainerAttach: an 8-byte header (stream, three zeros,
length big-endian) and then the payload. With a terminal there is no header.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Protocol

CHUNK = 1 << 18


class Readable(Protocol):
    def recv(self, size: int, /) -> bytes: ...


def readable(sock: Any) -> Readable:
    """What docker-py's attach_socket returns, as something with `recv`, without a time limit on reads."""
    raw = getattr(sock, "_sock", sock)
    with contextlib.suppress(AttributeError, OSError):
        raw.settimeout(None)
    if hasattr(raw, "recv"):
        return raw  # type: ignore[no-any-return]
    return _Reader(raw)


class _Reader:
    """Gives `recv` to something that only has `read`."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def recv(self, size: int, /) -> bytes:
        return self._raw.read(size) or b""


def close(sock: Any) -> None:
    """End the stream from our side, so that a reader in another thread wakes up."""
    raw = getattr(sock, "_sock", sock)
    with contextlib.suppress(Exception):
        raw.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(Exception):
        # docker-py hangs the HTTP response on the socket; its buffers must go before the socket under them
        sock._response.close()
    with contextlib.suppress(Exception):
        sock.close()


def copy(source: Readable, write: Callable[[int, bytes], None], *, tty: bool) -> None:
    """Copy the stream to `write(stream, data)` until it ends. Raises OSError when the connection breaks in a frame."""
    if tty:
        while data := source.recv(CHUNK):
            write(1, data)
        return
    _demultiplex(source, write)


def _demultiplex(source: Readable, write: Callable[[int, bytes], None]) -> None:
    buffer = bytearray()
    while data := source.recv(CHUNK):
        buffer += data
        start, end = 0, len(buffer)
        run_stream, run = 0, bytearray()  # neighbouring frames of one stream are handed on in one piece
        while end - start >= 8:
            length = int.from_bytes(buffer[start + 4 : start + 8], "big")
            if end - start - 8 < length:
                break
            stream = 2 if buffer[start] == 2 else 1
            if stream != run_stream and run:
                write(run_stream, bytes(run))
                run = bytearray()
            run_stream = stream
            run += memoryview(buffer)[start + 8 : start + 8 + length]
            start += 8 + length
        if run:
            write(run_stream, bytes(run))
        del buffer[:start]
    if buffer:
        raise ConnectionError("the engine closed the log stream in the middle of a frame")
