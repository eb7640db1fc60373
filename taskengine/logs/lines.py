"""Cuts byte streams into whole lines: as a list of them, or prefixed by the step for people who read a pipe.

Nothing is lost or changed: what comes out, without prefixes, is what came in. Knows bytes and step ids; the prefix's
look is decided by whoever makes the writer. Comes after the mask, never before it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

#: A line longer than this is passed on in pieces.
LONGEST_LINE = 64 * 1024

Key = tuple[str, int]


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
        data = b"".join((*self.pieces, *last))
        self.pieces.clear()
        self.size = 0
        return data


class LineSplitter:
    """One stream in, lines out. Each line keeps its newline; a piece without one is part of a very long line, or the
    last line of all. Joined together the lines are the input. Not thread-safe."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._pending = _Pending()

    def feed(self, chunk: bytes) -> list[bytes]:
        cut = chunk.rfind(b"\n") + 1
        lines = _split(self._pending, chunk[:cut])
        if cut < len(chunk):
            self._pending.add(chunk[cut:])
        if self._pending.size >= self._longest:
            lines.append(self._pending.take())
        return lines

    def close(self) -> list[bytes]:
        rest = self._pending.take()
        return [rest] if rest else []


def _split(pending: _Pending, whole: bytes) -> list[bytes]:
    """The whole lines that `pending` and `whole` (which ends in a newline, or is empty) make together."""
    if not whole:
        return []
    return [line + b"\n" for line in pending.take(whole)[:-1].split(b"\n")]


class LineSink:
    """A LogSink that calls `on_line(step, stream, line)` for each line of each step, as LineSplitter cuts them.

    Calls for one stream come in order and never at the same time.
    """

    def __init__(self, on_line: Callable[[str, int, bytes], None], longest: int = LONGEST_LINE) -> None:
        self._on_line = on_line
        self._longest = longest
        self._lock = threading.Lock()
        self._splitters: dict[Key, LineSplitter] = {}

    def write(self, step: str, stream: int, data: bytes) -> None:
        with self._lock:
            splitter = self._splitters.get((step, stream))
            if splitter is None:
                splitter = self._splitters[step, stream] = LineSplitter(self._longest)
            for line in splitter.feed(data):
                self._on_line(step, stream, line)

    def end(self, step: str) -> None:
        with self._lock:
            for key in [key for key in self._splitters if key[0] == step]:
                for line in self._splitters.pop(key).close():
                    self._on_line(*key, line)


class PrefixWriter:
    """A LogSink that writes whole lines to `out`, each behind its step's prefix; two steps never share a line.

    A line is held until its newline comes or its step ends (then the missing newline is added). One that grows beyond
    `longest` goes out in pieces: it stays one line as long as nobody else has something to say, and otherwise goes on
    behind a prefix of its own. After a carriage return inside a line (progress bars) the prefix is repeated, because
    a terminal writes over it there.
    """

    def __init__(
        self, out: Callable[[bytes], object], prefix: Callable[[str, int], bytes], longest: int = LONGEST_LINE
    ) -> None:
        self._out = out
        self._prefix = prefix
        self._longest = longest
        self._lock = threading.Lock()
        self._pending: dict[Key, _Pending] = {}
        self._prefixes: dict[Key, bytes] = {}
        self._open: Key | None = None  # whose line stands in `out` without its newline

    def write(self, step: str, stream: int, data: bytes) -> None:
        key = (step, stream)
        with self._lock:
            pending = self._pending.get(key)
            if pending is None:
                pending = self._pending[key] = _Pending()
                self._prefixes[key] = self._prefix(step, stream)
            cut = data.rfind(b"\n") + 1
            if cut:
                self._put(key, pending.take(data[:cut]), is_whole=True)
            if cut < len(data):
                pending.add(data[cut:])
            if pending.size >= self._longest:
                self._put(key, pending.take(), is_whole=False)

    def end(self, step: str) -> None:
        """Write what a step has begun and not ended, with the newline that is missing."""
        with self._lock:
            for key in [key for key in self._pending if key[0] == step]:
                rest = self._pending.pop(key).take()
                if rest:
                    self._put(key, rest + b"\n", is_whole=True)
                elif self._open == key:
                    self._out(b"\n")
                    self._open = None
                del self._prefixes[key]

    def _put(self, key: Key, text: bytes, *, is_whole: bool) -> None:
        """Write `text`: whole lines, or (not `is_whole`) a piece of one that goes on."""
        prefix = self._prefixes[key]
        head = b"" if self._open == key else prefix
        if self._open is not None and self._open != key:
            head = b"\n" + prefix
        body = text[:-1] if is_whole else text
        if prefix:
            body = _prefixed(body, prefix)
        self._out(head + body + b"\n" if is_whole else head + body)
        self._open = None if is_whole else key


def _prefixed(body: bytes, prefix: bytes) -> bytes:
    """The prefix behind every place where a line starts, except the first and the end of `body`."""
    if b"\r" in body:
        ends_in_return = body.endswith(b"\r")
        body = body.replace(b"\r", b"\r" + prefix).replace(b"\r" + prefix + b"\n", b"\r\n")
        if ends_in_return:  # the newline, or what comes next, is not ours to see yet
            body = body[: -len(prefix)]
    return body.replace(b"\n", b"\n" + prefix)
