"""Counts what travels to the engine, and tells those who wait for it how far it is: not at all when it is quick.

Knows bytes and time. Must not know archives, steps or events.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

from taskengine.ambient import Ambient

#: (bytes so far, whether that is all)
Hearer = Callable[[int, bool], None]
#: seconds before the first word, and between two: what is over sooner needs none
PAUSE = 0.5


class Upload:
    """One upload and whoever wants to hear of it. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] | None = None) -> None:
        self._monotonic = monotonic or Ambient.system().monotonic
        self._lock = threading.Lock()
        self._hearers: list[Hearer] = []
        self._sent = 0
        self._next: float | None = None
        self._told = False

    def listen(self, hearer: Hearer) -> Callable[[], None]:
        """Tell `hearer` from now on. Returns a function that takes it off again."""
        with self._lock:
            self._hearers.append(hearer)
        return lambda: self._forget(hearer)

    def _forget(self, hearer: Hearer) -> None:
        with self._lock:
            if hearer in self._hearers:
                self._hearers.remove(hearer)

    def counted(self, stream: io.BufferedIOBase) -> io.BufferedIOBase:
        """The same stream, counted while it is read."""
        return _Counted(stream, self._add)

    def _add(self, size: int) -> None:
        self._sent += size
        now = self._monotonic()
        if self._next is None:
            self._next = now + PAUSE
        if now >= self._next:
            self._next = now + PAUSE
            self._tell(over=False)

    def end(self) -> None:
        """It is over. Said only where something was said before."""
        if self._told:
            self._tell(over=True)

    def _tell(self, *, over: bool) -> None:
        with self._lock:
            hearers = tuple(self._hearers)
            self._told = self._told or bool(hearers)
        for hearer in hearers:
            hearer(self._sent, over)


class _Counted(io.BufferedIOBase):
    def __init__(self, stream: io.BufferedIOBase, add: Callable[[int], None]) -> None:
        self._stream, self._add = stream, add

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        self._add(len(data))
        return data

    read1 = read
