"""Tells whether the engine still answers, once somebody has to decide whether to go on waiting for it.

An engine whose process hangs keeps its connections open and says nothing. Nobody asks during a run, as a step may be
silent for hours; but what was told to stop must not wait for such an engine, and a clean-up need not try.
"""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as NoAnswer

from runners.docker.engine import Engine
from runners.docker.once import in_thread
from taskengine.runner import Cancel

#: seconds in which an engine under load answers the simplest of all questions
PATIENCE = 8.0
_PAUSE = 2.0


class Pulse:
    """Thread-safe. `silent` is set when the engine was found not to answer; it stays set."""

    def __init__(self, api: Engine) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._watching = False
        self._over = threading.Event()
        self.silent = Cancel()

    def watch(self) -> None:
        """From now on ask again and again, in the background. Calling it twice is harmless."""
        with self._lock:
            begin, self._watching = not self._watching, True
        if begin:
            threading.Thread(target=self._watch, name="pulse", daemon=True).start()

    def _watch(self) -> None:
        while self.beats() and not self._over.wait(_PAUSE):
            pass

    def beats(self) -> bool:
        """Whether the engine answers. Takes no longer than PATIENCE, and no time once it was found silent."""
        if self.silent.is_set:
            return False
        try:
            in_thread(self._api.ping, "pulse").result(PATIENCE)
        except NoAnswer:
            self.silent.set("the engine does not answer")
        except Exception:  # noqa: BLE001 - refused, reset, gone: whatever it is, it is no answer
            self.silent.set("the engine is gone")
        return not self.silent.is_set

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
