"""Hears of the ends of a run's containers as they happen.

The engine's `wait` answers only after a container's network is taken down; its `die` event comes before, with the exit
code. Nothing depends on the events: whoever hears nothing in time asks `wait`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from runners.docker.engine import Engine
from runners.docker.sweep import RUN_LABEL

#: seconds that a step waits for the event once its output has ended
PATIENCE = 0.5


class Exits:
    """Listens on one connection, in one thread. Thread-safe."""

    def __init__(self, api: Engine, run_id: str) -> None:
        self._api = api
        self._codes: dict[str, int] = {}
        self._changed = threading.Condition()
        self._stream: Any = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._filters = {"type": "container", "event": "die", "label": f"{RUN_LABEL}={run_id}"}

    def listen(self) -> None:
        """Begin. Returns once the engine sends events, so that no later end is missed."""
        with contextlib.suppress(Exception):
            self._stream = self._api.events(filters=self._filters, decode=True)
            thread = threading.Thread(target=self._follow, args=(self._stream,), name="exits", daemon=True)
            thread.start()
            self._thread = thread  # only now: one that has not started cannot be joined

    def _follow(self, stream: Iterator[dict[str, Any]]) -> None:
        with contextlib.suppress(Exception):
            for event in stream:
                attributes = (event.get("Actor") or {}).get("Attributes") or {}
                with self._changed:
                    self._codes[event["id"]] = int(attributes["exitCode"])
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def code(self, container: str) -> int | None:
        """The exit code of a container that ends about now; None when nothing was heard of it in time."""
        if self._stream is None:
            return None
        with self._changed:
            self._changed.wait_for(lambda: container in self._codes or self._closed, PATIENCE)
            return self._codes.pop(container, None)

    def close(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(Exception):
                self._stream.close()
        if self._thread is not None:
            self._thread.join(timeout=1)
