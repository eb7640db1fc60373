"""Keeps the last lines of each step's output, for the summary of a failure. Bounded in lines and bytes.

Must not know statuses or how the lines are shown. Not a log: nothing here is complete.
"""

from __future__ import annotations

import threading
from collections import deque

LINES = 20
BYTES = 16 * 1024


class _Ring:
    """The last bytes of one step, as the chunks they came in; cutting into lines waits until somebody asks."""

    __slots__ = ("chunks", "size", "stream")

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.stream = 0

    def add(self, stream: int, data: bytes, limit: int) -> None:
        if stream != self.stream:
            if self.chunks and not self.chunks[-1].endswith(b"\n"):
                self.chunks.append(b"\n")
                self.size += 1
            self.stream = stream
        piece = data if len(data) <= limit else data[-limit:]
        self.chunks.append(piece)
        self.size += len(piece)
        while self.size - len(self.chunks[0]) >= limit:
            self.size -= len(self.chunks.popleft())
        if len(self.chunks) > 256:  # many tiny writes: fewer, larger pieces
            self.chunks = deque((b"".join(self.chunks)[-limit:],))
            self.size = len(self.chunks[0])


class Tail:
    """A LogSink that remembers the last `lines` lines (at most `limit` bytes) of each step until it is forgotten."""

    def __init__(self, lines: int = LINES, limit: int = BYTES) -> None:
        self._lines = lines
        self._limit = limit
        self._lock = threading.Lock()
        self._rings: dict[str, _Ring] = {}

    def write(self, step: str, stream: int, data: bytes) -> None:
        if not data:
            return
        with self._lock:
            ring = self._rings.get(step)
            if ring is None:
                ring = self._rings[step] = _Ring()
            ring.add(stream, data, self._limit)

    def lines(self, step: str) -> tuple[str, ...]:
        """The last lines as text, without their ends; of a line that a progress bar wrote over, the last state."""
        with self._lock:
            ring = self._rings.get(step)
            data = b"".join(ring.chunks)[-self._limit :] if ring is not None else b""
        lines = data.decode("utf-8", "replace").rstrip("\r\n").split("\n") if data.strip() else []
        return tuple(line.rstrip("\r").rpartition("\r")[2] for line in lines[-self._lines :])

    def forget(self, step: str) -> None:
        if step in self._rings:
            with self._lock:
                self._rings.pop(step, None)
