"""Ctrl-C and SIGTERM: the first asks the run to stop, the second stops the process at once.

A signal handler does nothing but leave a note; a thread of its own acts, because the interrupted thread may hold any
lock.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from taskengine.cli.name import INTERRUPTED
from taskengine.cli.view.face import View

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: so long the last clean-up may take before the process ends without it
LAST_WORDS = 4.0


class Interrupts:
    """While entered, signals are ours. `stop` is called for the first one, `kill` for the second."""

    def __init__(
        self,
        view: View,
        *,
        stop: Callable[[], None],
        kill: Callable[[], None],
        leave: Callable[[int], Any] = os._exit,
        farewell: Callable[[], str] = lambda: "stopped at once; the next acr-task removes what may be left",
    ) -> None:
        self._view = view
        self._stop = stop
        self._kill = kill
        self._leave = leave
        self._farewell = farewell
        self._notes: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._before: dict[int, Any] = {}
        self._thread = threading.Thread(target=self._act, name="interrupts", daemon=True)
        self.seen = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._notes.put(None)
        self._thread.join(1)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._notes.put(number)

    def _act(self) -> None:
        if self._notes.get() is None:
            return
        self.seen = True
        self._view.interrupted()
        self._stop()
        if self._notes.get() is None:
            return
        self._view.rescue()
        last = threading.Thread(target=self._kill, daemon=True)
        last.start()
        last.join(LAST_WORDS)
        with contextlib.suppress(OSError):
            print(self._farewell(), file=sys.stderr, flush=True)
        self._leave(INTERRUPTED)
