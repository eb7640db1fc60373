"""Lines with the step's id in front, whole lines only, however many steps talk at once. Bytes stay as they are."""

from __future__ import annotations

import threading
from collections.abc import Callable

#: a line longer than this is broken, so that a step that never ends its line does not fill the memory
LONGEST = 64 << 20


class PrefixSink:
    """A LogSink. `write` takes the finished bytes; `end` gives out what has no line end yet, and ends it."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._tails: dict[tuple[str, int], bytearray] = {}

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self._lock:
            end = data.rfind(b"\n") + 1
            tail = self._tails.get((step, stream))
            if not end:
                tail = self._tails.setdefault((step, stream), bytearray())
                tail += data
                if len(tail) > LONGEST:
                    self._flush((step, stream))
                return
            whole = data if end == len(data) else data[:end]
            if tail:
                whole = bytes(tail) + whole
                tail.clear()
            if end < len(data):
                self._tails[step, stream] = bytearray(data[end:])
            self._put(step, whole)

    def end(self, step: str) -> None:
        with self._lock:
            for stream in (1, 2):
                self._flush((step, stream))

    def close(self) -> None:
        with self._lock:
            for key in list(self._tails):
                self._flush(key)

    def _flush(self, key: tuple[str, int]) -> None:
        tail = self._tails.pop(key, None)
        if tail:
            self._put(key[0], bytes(tail) + b"\n")

    def _put(self, step: str, lines: bytes) -> None:
        """`lines` ends with a newline."""
        prefix = f"{step} | ".encode()
        inner = lines.count(b"\n") - 1
        body = lines[:-1].replace(b"\n", b"\n" + prefix) if inner else lines[:-1]
        self._write(prefix + body + b"\n")
