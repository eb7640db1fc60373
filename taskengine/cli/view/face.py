"""The one face of every view: it takes events and a masked log, and says our own words. Thread-safe."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import BinaryIO, Protocol, Self

from taskengine.logs.sink import Sink
from taskengine.runs.event import Event


class View(Sink, Protocol):
    """A context manager; inside it events and log bytes come from many threads at once."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def event(self, event: Event) -> None: ...

    def end(self, step: str) -> None:
        """A step has no more to say for now."""

    def say(self, text: str, level: str = "info") -> None:
        """Words of our own; `level` is info, warning or error."""

    def interrupted(self) -> None:
        """The run was asked to stop."""

    def rescue(self) -> None:
        """Leave the terminal usable at once: the process ends without waiting for anybody."""


class Pipe:
    """Standard output that may go away (`| head`): then nothing more is written, and `on_lost` is called once."""

    def __init__(self, out: BinaryIO, on_lost: Callable[[], None]) -> None:
        self._out = out
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self.lost = False

    def write(self, data: bytes) -> int:
        """Write and flush all of it."""
        if self.lost:
            return len(data)
        try:
            with self._lock:
                self._out.write(data)
                self._out.flush()
        except (OSError, ValueError):
            self.lost = True
            self._on_lost()
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def fileno(self) -> int:
        return self._out.fileno()
