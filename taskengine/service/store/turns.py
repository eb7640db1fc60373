"""A lock that is taken in the order in which it was asked for. Must not know what it guards.

Python's own may be taken again by the thread that has just released it, for as long as that one likes: who asked in the
meantime starves. Here the next in line has it the moment that it is released.
"""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A lock without re-entrance."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._line: deque[threading.Lock] = deque()

    def acquire(self, seconds: float) -> bool:
        """Whether it is this thread's turn within so many seconds."""
        mine = threading.Lock()
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine.acquire()
            self._line.append(mine)
        if mine.acquire(timeout=seconds):
            return True
        with self._guard:
            if mine in self._line:
                self._line.remove(mine)
                return False
        return True  # it was handed over at the last moment

    @property
    def waiting(self) -> int:
        """How many are in line."""
        with self._guard:
            return len(self._line)

    def release(self) -> None:
        """Hands it to the next in line."""
        with self._guard:
            if self._line:
                self._line.popleft().release()
            else:
                self._taken = False
