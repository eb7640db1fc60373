"""What is to happen at which time. Holds times and actions; waiting is done by whoever owns it.

Must not know clocks, steps or threads beyond its own lock.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf

Action = Callable[[], None]


@dataclass(order=True, slots=True)
class Deadline:
    """One entry; hold on to it to take it back. Without an action it is over."""

    when: float
    order: int
    action: Action | None = field(compare=False)


class Deadlines:
    """Thread-safe. `wake` is called when a deadline is added that comes before the one the owner waits for."""

    def __init__(self, wake: Action) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._heap: list[Deadline] = []
        self._order = count()
        self._awaited = inf

    def add(self, when: float, action: Action) -> Deadline:
        entry = Deadline(when, next(self._order), action)
        with self._lock:
            heapq.heappush(self._heap, entry)
            is_news = when < self._awaited
            self._awaited = min(when, self._awaited)
        if is_news:
            self._wake()
        return entry

    def drop(self, entry: Deadline) -> None:
        """Take a deadline back; harmless when it has passed."""
        with self._lock:
            entry.action = None
            self._forget_dropped()

    def next(self) -> float | None:
        """The time to wait for, None when there is none."""
        with self._lock:
            self._forget_dropped()
            self._awaited = self._heap[0].when if self._heap else inf
            return None if self._awaited == inf else self._awaited

    def take_due(self, now: float) -> list[Action]:
        """Take out the actions whose time has come, in order."""
        due: list[Action] = []
        with self._lock:
            while self._heap and self._heap[0].when <= now:
                action = heapq.heappop(self._heap).action
                if action is not None:
                    due.append(action)
        return due

    def _forget_dropped(self) -> None:
        while self._heap and self._heap[0].action is None:
            heapq.heappop(self._heap)
