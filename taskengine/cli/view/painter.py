"""The live view: log lines scroll above, the tree of steps stays below and is redrawn ten times a second at most.

One thread paints; everybody else only leaves bytes and facts behind. Whoever writes more than the terminal takes waits,
as any program that writes to a terminal does. Knows ANSI and the size of the terminal, not what a step means.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Self

from taskengine.cli.view.clean import terminal_lines, terminal_text
from taskengine.cli.view.face import Pipe
from taskengine.cli.view.state import RunState
from taskengine.cli.view.tree import PREFIXES, Look, cells, draw
from taskengine.logs.lines import Lines
from taskengine.runs.event import Event, Notice

FRAME = 0.1
#: bytes that may wait for the painter before a writer has to
FULL = 4 << 20
#: a line longer than this is shown in pieces: a terminal is no place to wait for its end
LONGEST = 1 << 20

HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


class LiveView:
    """A view on a terminal. Use it as a context manager: leaving it leaves a clean terminal."""

    def __init__(
        self,
        out: Pipe,
        *,
        look: Look,
        clock: Callable[[], float],
        size: Callable[[], tuple[int, int]],
        own_thread: bool = True,
    ) -> None:
        self._out = out
        self._look = look
        self._clock = clock
        self._size = size
        self._own_thread = own_thread
        self.state = RunState()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._above = bytearray()
        self._lines = Lines(LONGEST)
        self._prefix: dict[str, bytes] = {}
        self._drawn: list[int] = []
        self._painting = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="live-view", daemon=True)

    def __enter__(self) -> Self:
        self._put(HIDE_CURSOR)
        if self._own_thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left, take the tree away, give the cursor back. May be called twice."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._wake.set()
        with self._room:
            self._room.notify_all()
        if self._thread.is_alive():
            self._thread.join(2)
        with self._lock:
            for (step, _), rest in self._lines.end_all():
                self._show(step, rest + b"\n")
        self.paint(last=True)

    def event(self, event: Event) -> None:
        with self._lock:
            self.state.apply(event, self._clock())
            if isinstance(event, Notice):
                who = f"{event.step}: " if event.step else ""
                self._say(f"{who}{event.message}", event.level)

    def say(self, text: str, level: str = "info") -> None:
        """A line of our own among the log lines."""
        with self._lock:
            self._say(text, level)

    def interrupted(self) -> None:
        with self._lock:
            self.state.interrupted = True

    def write(self, step: str, stream: int, data: bytes) -> None:
        """LogSink: bytes of a step's output. Whole lines go up at once, the rest waits for its end."""
        with self._room:
            while len(self._above) > FULL and not self._stop.is_set() and not self._out.lost:
                self._room.wait(1)
            for text, is_whole in self._lines.feed(step, stream, data):
                self._show(step, text if is_whole else text + b"\n")

    def end(self, step: str) -> None:
        """The step has no more to say: what has no line end yet is shown."""
        with self._lock:
            for _, rest in self._lines.end(step):
                self._show(step, rest + b"\n")

    def _show(self, step: str, data: bytes) -> None:
        """`data` ends with a newline."""
        prefix = self._prefix_of(step)
        data = terminal_lines(data, colour=self._look.colour)
        self.state.line(step, data[data.rfind(b"\n", 0, len(data) - 1) + 1 : -1][:2000].decode("utf-8", "replace"))
        self._above += prefix + data[:-1].replace(b"\n", b"\n" + prefix) + b"\n"
        if len(self._above) > FULL // 4:
            self._wake.set()

    def _prefix_of(self, step: str) -> bytes:
        if step not in self._prefix:
            style = PREFIXES[len(self._prefix) % len(PREFIXES)]
            bar = "│" if self._look.unicode else "|"
            self._prefix[step] = (self._look.paint(f"{step} {bar}", style) + " ").encode()
        return self._prefix[step]

    def _say(self, text: str, level: str) -> None:
        style = {"warning": "warn", "error": "bad"}.get(level, "dim")
        head = f"{level}: " if level != "info" else ""
        for n, line in enumerate(text.split("\n")):
            words = terminal_text(line, colour=False)
            self._above += self._look.paint(f"{head if n == 0 else '  '}{words}", style).encode() + b"\n"

    def _loop(self) -> None:
        while not self._stop.is_set():
            # a flood of output does not wait for the next frame
            self._wake.wait(FRAME)
            self._wake.clear()
            if not self._stop.is_set():
                self.paint()

    def paint(self, *, last: bool = False) -> None:
        """Take the old tree away, write the log lines, draw the new tree: in one write, so that nothing flickers."""
        with self._painting:
            columns, lines = self._size()
            with self._room:
                above = bytes(self._above)
                self._above.clear()
                self._room.notify_all()
                rows = (
                    []
                    if last or not self.state.steps
                    else draw(self.state, now=self._clock(), width=columns, height=lines, look=self._look)
                )
            frame = self._erase(columns) + above + "\n".join(rows).encode("utf-8", "replace")
            self._drawn = [_visible(row) for row in rows]
            if last:
                frame += SHOW_CURSOR
            if frame:
                self._put(frame)

    def _erase(self, columns: int) -> bytes:
        """Back to the first column of the first row drawn. A terminal made narrower since has wrapped some of them."""
        if not self._drawn:
            return b""
        rows = sum(max(1, -(-width // max(1, columns))) for width in self._drawn)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}\x1b[J".encode()

    def _put(self, data: bytes) -> None:
        self._out.write(data)

    def rescue(self) -> None:
        """Give the cursor back without waiting for anybody: for an exit that cannot wait."""
        with contextlib.suppress(OSError, ValueError):
            os.write(self._out.fileno(), b"\r\n" + SHOW_CURSOR)


def _visible(row: str) -> int:
    return cells(terminal_text(row, colour=False))
