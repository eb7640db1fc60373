"""A byte stream that is open already, whatever it goes through. Must not know what the bytes mean."""

from __future__ import annotations

import contextlib
import socket
from typing import Protocol


class Connection(Protocol):
    """An open byte stream. `close` may be called from any thread, twice, and ends a `recv` that waits elsewhere."""

    def recv(self, size: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...


class SocketConnection:
    """A plain socket as a Connection: closing it also wakes whoever waits on it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def recv(self, size: int, /) -> bytes:
        return self._sock.recv(size)

    def sendall(self, data: bytes, /) -> None:
        self._sock.sendall(data)

    def fileno(self) -> int:
        return self._sock.fileno()

    def settimeout(self, seconds: float | None) -> None:
        self._sock.settimeout(seconds)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
