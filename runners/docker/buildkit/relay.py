"""Bytes between a connection to the engine and a Unix socket of this process, and the private folder of such sockets.

gRPC's Python library neither takes over an open connection nor serves one; it wants a socket file. So each file lives
in a folder that only this user may enter, and two threads carry the bytes. Must not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_CHUNK = 256 * 1024
#: What fits into a sockaddr_un, less room for a file name.
_LONGEST_FOLDER = 80


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


class Relay:
    """Two threads that carry bytes between two connections until either side ends; then both are closed."""

    def __init__(self, near: Connection, far: Connection, *, ended: Callable[[], None] = lambda: None) -> None:
        self._ends = (near, far)
        self._ended = ended
        self._lock = threading.Lock()
        self._open = True
        self._threads = [
            threading.Thread(target=self._carry, args=pair, name="buildkit-relay", daemon=True)
            for pair in ((near, far), (far, near))
        ]
        for thread in self._threads:
            thread.start()

    def _carry(self, source: Connection, sink: Connection) -> None:
        try:
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        except OSError:
            pass  # the other direction, or close(), has ended it
        finally:
            self._end()

    def _end(self) -> None:
        with self._lock:
            first, self._open = self._open, False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.close()
        if first:
            self._ended()

    @property
    def is_open(self) -> bool:
        return self._open

    def close(self) -> None:
        self._end()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2)


class SocketFolder:
    """A folder for socket files that nobody else may enter; gone after close(), or when the process ends.

    `below` is a private folder with a short path to put it in, which whoever gave it removes even after a kill -9.
    """

    def __init__(self, below: Path | None = None) -> None:
        self.path = _private_folder() if below is None else tempfile.mkdtemp(prefix="bk-", dir=below)
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def listen(self, name: str) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"{self.path}/{name}")
        listener.listen(8)
        return listener

    def close(self) -> None:
        self._remove()


def _private_folder() -> str:
    folder = tempfile.mkdtemp(prefix="acr-task-bk-")
    if len(folder) <= _LONGEST_FOLDER:
        return folder
    Path(folder).rmdir()  # a deep TMPDIR: the address of a Unix socket has 108 bytes
    return tempfile.mkdtemp(prefix="acr-task-bk-", dir="/tmp")
