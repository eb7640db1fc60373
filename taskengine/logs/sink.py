"""Links of the chain that a step's output goes through: mask, fan out. Each link is a LogSink and hands on to the next.

`end(step)` says that a step has no more to say for now: a link lets go of what it held back. A detached step may write
again after it. All links are thread-safe, for any number of steps at once, each of them written to in order.
Must not know what is done with the bytes in the end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from taskengine.logs.mask import Mask, MaskStream


class Sink(Protocol):
    """The shape of taskengine.runner.LogSink, said again because logs lie below runners."""

    def write(self, step: str, stream: int, data: bytes) -> None: ...


def ender(sink: Sink) -> Callable[[str], None]:
    """How to tell a sink that a step has no more to say; nothing happens with sinks that do not want to know."""
    end: Callable[[str], None] | None = getattr(sink, "end", None)
    return end if end is not None else _ignore


def _ignore(step: str) -> None:
    """Nothing."""


class NullSink:
    """Takes everything and keeps nothing."""

    def write(self, step: str, stream: int, data: bytes) -> None:
        """Nothing."""


class TeeSink:
    """Hands everything on to several sinks, in their order."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks
        self._ends = [ender(sink) for sink in sinks if hasattr(sink, "end")]

    def write(self, step: str, stream: int, data: bytes) -> None:
        for sink in self._sinks:
            sink.write(step, stream, data)

    def end(self, step: str) -> None:
        for end in self._ends:
            end(step)


class MaskingSink:
    """Masks each step's stdout and stderr, each as a stream of its own. Comes before anything that adds to the text,
    because a prefix in the middle of a secret would hide it from the mask."""

    def __init__(self, sink: Sink, mask: Mask) -> None:
        self._next = sink
        self._end_next = ender(sink)
        self._mask = mask
        self._lock = threading.Lock()
        self._streams: dict[tuple[str, int], tuple[threading.Lock, MaskStream]] = {}

    def write(self, step: str, stream: int, data: bytes) -> None:
        if self._mask.empty:
            self._next.write(step, stream, data)
            return
        with self._lock:
            entry = self._streams.get((step, stream))
            if entry is None:
                entry = self._streams[step, stream] = (threading.Lock(), self._mask.stream())
        lock, masked = entry
        with lock:
            out = masked.feed(data)
            if out:
                self._next.write(step, stream, out)

    def end(self, step: str) -> None:
        if self._streams:
            self._close(step)
        self._end_next(step)

    def _close(self, step: str) -> None:
        with self._lock:
            entries = [(key, self._streams.pop(key)) for key in ((step, 1), (step, 2)) if key in self._streams]
        for key, (lock, masked) in entries:
            with lock:
                rest = masked.close()
                if rest:
                    self._next.write(*key, rest)
