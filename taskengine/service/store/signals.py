"""Wakes who waits for something to change: a follower of a log, a worker that asks for a run. Within this process
only; what another process changes is found by looking again, so every wait here has an end. No database, no threads.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Self

#: told when a run may have become ready to start
QUEUE = "queue"


@dataclass
class _Topic:
    condition: threading.Condition
    count: int = 0
    waiting: int = field(default=0)


class Signals:
    """Topics by name, each with a counter of what was told. Only topics that somebody watches take memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._topics: dict[str, _Topic] = {}
        self._closed = False

    def tell(self, *names: str) -> None:
        """Something changed; call it after the commit."""
        with self._lock:
            for name in names:
                if (topic := self._topics.get(name)) is not None:
                    topic.count += 1
                    topic.condition.notify_all()

    def watch(self, name: str) -> Watch:
        """From now on nothing that is told is missed: watch first, then look, then wait."""
        with self._lock:
            topic = self._topics.setdefault(name, _Topic(condition=threading.Condition(self._lock)))
            topic.waiting += 1
            return Watch(self, name, topic, topic.count)

    def close(self) -> None:
        """Everybody wakes, now and from now on: the service ends."""
        with self._lock:
            self._closed = True
            for topic in self._topics.values():
                topic.condition.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def _leave(self, name: str, topic: _Topic) -> None:
        with self._lock:
            topic.waiting -= 1
            if topic.waiting == 0:
                self._topics.pop(name, None)


class Watch:
    """A watch on one topic; a context manager. One thread uses it."""

    def __init__(self, signals: Signals, name: str, topic: _Topic, seen: int) -> None:
        self._signals = signals
        self._name = name
        self._topic = topic
        self._seen = seen

    def wait(self, timeout: float) -> bool:
        """Until something was told since the last wait, for `timeout` seconds at most. True when something was."""
        topic = self._topic
        with self._signals._lock:
            topic.condition.wait_for(lambda: topic.count != self._seen or self._signals._closed, timeout)
            changed = topic.count != self._seen
            self._seen = topic.count
            return changed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._signals._leave(self._name, self._topic)
