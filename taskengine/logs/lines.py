"""Cuts byte streams into whole lines, many at once, and prefixes them by the step for people who read a pipe.

Nothing is lost or changed: what comes out, without prefixes, is what came in. Knows bytes and step ids; the prefix's
look is decided by whoever makes the writer. Comes after the mask, never before it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

#: A line longer than this is passed on in pieces.
LONGEST_LINE = 16 << 20
#: So much may wait for line ends, all streams together. Beyond it lines longer than `LONG_LINE` go out in pieces.
MOST_HELD = 128 << 20
LONG_LINE = 64 << 10

Key = tuple[str, int]


class Cut(NamedTuple):
    """Whole lines, each with its newline; or, when not `is_whole`, the beginning of a long line that goes on."""

    data: bytes
    is_whole: bool


class _Pending:
    """The beginning of a line whose end has not come yet, as the pieces it came in (joined once, not each time)."""

    __slots__ = ("pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.size += len(piece)

    def take(self, *last: bytes) -> bytes:
        if not self.pieces and len(last) == 1:
            return last[0]
        data = b"".join((*self.pieces, *last))
        self.pieces.clear()
        self.size = 0
        return data


class Lines:
    """Any number of streams in, lines out: as many together as came at once, so that a flood costs little. Joined
    together the cuts of a stream are its input. Not thread-safe."""

    def __init__(self, longest: int = LONGEST_LINE, most_held: int = MOST_HELD) -> None:
        self._longest = longest
        self._most_held = most_held
        self._held = 0
        self._pending: dict[Key, _Pending] = {}

    def feed(self, step: str, stream: int, data: bytes) -> list[Cut]:
        """What of the stream can be passed on now: nothing, whole lines, a piece of a long line, or both."""
        pending = self._pending.get((step, stream))
        if pending is None:
            pending = self._pending[step, stream] = _Pending()
        before = pending.size
        cuts = []
        end = data.rfind(b"\n") + 1
        if end:
            cuts.append(Cut(pending.take(data if end == len(data) else data[:end]), True))
        if end < len(data):
            pending.add(data[end:] if end else data)
            if self._is_too_long(pending.size, before):
                cuts.append(Cut(_all_but_last(pending), False))
        self._held += pending.size - before
        return cuts

    def _is_too_long(self, size: int, before: int) -> bool:
        return size > self._longest or (size > LONG_LINE and self._held + size - before > self._most_held)

    def end(self, step: str) -> list[tuple[Key, bytes]]:
        """The last lines of a step, which have no line end. Later writes begin anew."""
        return self._rest([key for key in ((step, 1), (step, 2)) if key in self._pending])

    def end_all(self) -> list[tuple[Key, bytes]]:
        return self._rest(list(self._pending))

    def _rest(self, keys: list[Key]) -> list[tuple[Key, bytes]]:
        found = []
        for key in keys:
            rest = self._pending.pop(key).take(b"")
            self._held -= len(rest)
            if rest:
                found.append((key, rest))
        return found


def _all_but_last(pending: _Pending) -> bytes:
    """Take a long line's beginning; its last character stays, so that a piece is always followed by another."""
    data = pending.take(b"")
    cut = len(data) - 1
    while cut > max(0, len(data) - 4) and data[cut] & 0xC0 == 0x80:  # inside of a UTF-8 character
        cut -= 1
    pending.add(data[cut:])
    return data[:cut]


class PrefixWriter:
    """A LogSink that writes whole lines to `out`, each behind its step's prefix; two steps never share a line.

    A line is held until its newline comes or its step ends (then the missing newline is added). One that is too long
    goes out in pieces: it stays one line as long as nobody else has something to say, and otherwise goes on behind a
    prefix of its own. Thread-safe.
    """

    def __init__(
        self, out: Callable[[bytes], object], prefix: Callable[[str], bytes], longest: int = LONGEST_LINE
    ) -> None:
        self._out = out
        self._prefix = prefix
        self._lock = threading.Lock()
        self._lines = Lines(longest)
        self._prefixes: dict[str, bytes] = {}
        self._open: Key | None = None  # whose line stands in `out` without its newline

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self._lock:
            for cut in self._lines.feed(step, stream, data):
                self._put((step, stream), cut)

    def end(self, step: str) -> None:
        """Write what a step has begun and not ended, with the newline that is missing."""
        with self._lock:
            for key, rest in self._lines.end(step):
                self._put(key, Cut(rest + b"\n", True))

    def close(self) -> None:
        """The same for all steps."""
        with self._lock:
            for key, rest in self._lines.end_all():
                self._put(key, Cut(rest + b"\n", True))

    def _put(self, key: Key, cut: Cut) -> None:
        prefix = self._prefixes.get(key[0])
        if prefix is None:
            prefix = self._prefixes[key[0]] = self._prefix(key[0])
        head = prefix if self._open is None else b"\n" + prefix
        if self._open == key:
            head = b""
        if cut.is_whole:
            self._open = None
            self._out(head + cut.data[:-1].replace(b"\n", b"\n" + prefix) + b"\n")
        else:
            self._open = key
            self._out(head + cut.data)
