"""What is to happen at which time. Holds times and actions; waiting is done by whoever owns it.

Must not know clocks, steps or threads beyond its own lock.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from itertools import count

Action = Callable[[], None]


class Deadlines:
    """Thread-safe. `wake` is called when a deadline is added that comes before all others."""

    def __init__(self, wake: Action) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._heap: list[tuple[float, int, Action]] = []
        self._order = count()

    def add(self, when: float, action: Action) -> None:
        entry = (when, next(self._order), action)
        with self._lock:
            heapq.heappush(self._heap, entry)
            is_first = self._heap[0] is entry
        if is_first:
            self._wake()

    def next(self) -> float | None:
        """The earliest time, None when there is none."""
        with self._lock:
            return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[Action]:
        """Take out the actions whose time has come, in order."""
        due: list[Action] = []
        with self._lock:
            while self._heap and self._heap[0][0] <= now:
                due.append(heapq.heappop(self._heap)[2])
        return due
