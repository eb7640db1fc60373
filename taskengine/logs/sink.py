"""Links of the chain that a step's output goes through: mask, fan out. Each link is a LogSink and hands on to the next.

`end(step)` says that a step has no more to say for now: a link lets go of what it held back. A detached step may write
again after it. All links are thread-safe, for any number of steps at once, each of them written to in order.
Must not know what is done with the bytes in the end.
"""

from __future__ import annotations

import threading
from typing import Protocol

from taskengine.logs.mask import Mask, MaskStream


class Sink(Protocol):
    """The shape of taskengine.runner.LogSink, said again because logs lie below runners."""

    def write(self, step: str, stream: int, data: bytes) -> None: ...


def end_step(sink: Sink, step: str) -> None:
    """Tell a sink that a step has no more to say, if it wants to know."""
    end = getattr(sink, "end", None)
    if end is not None:
        end(step)


class NullSink:
    """Takes everything and keeps nothing."""

    def write(self, step: str, stream: int, data: bytes) -> None:
        """Nothing."""


class TeeSink:
    """Hands everything on to several sinks, in their order."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def write(self, step: str, stream: int, data: bytes) -> None:
        for sink in self._sinks:
            sink.write(step, stream, data)

    def end(self, step: str) -> None:
        for sink in self._sinks:
            end_step(sink, step)


class MaskingSink:
    """Masks each step's stdout and stderr, each as a stream of its own. Comes before anything that adds to the text,
    because a prefix in the middle of a secret would hide it from the mask."""

    def __init__(self, sink: Sink, mask: Mask) -> None:
        self._next = sink
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
        with self._lock:
            entries = [(key, self._streams.pop(key)) for key in ((step, 1), (step, 2)) if key in self._streams]
        for key, (lock, masked) in entries:
            with lock:
                rest = masked.close()
                if rest:
                    self._next.write(*key, rest)
        end_step(self._next, step)
