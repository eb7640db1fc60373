"""Sends a run's spool on to the service, in order and from wherever the service's copy ends, until all of it is there.

One thread a run. A service that is away is asked again, for as long as it takes. Must not know what the frames say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from taskengine.client.transport import Conflict, Gone
from taskengine.errors import TaskEngineError, Unreachable
from taskengine.worker.spool import Spool

_BATCH = 1 << 20
#: seconds to wait for more to say, and after a call that failed: at first, and at most
_IDLE, _FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 0.2, 5.0


class Append(Protocol):
    """`WorkerApi.append` for one worker and run: at an offset, returns where the service's copy ends then."""

    def __call__(self, offset: int, data: bytes) -> int: ...


class Sender:
    """`offset` is where the service's copy ends. `on_lost` is told, once, why the service takes no more."""

    def __init__(self, spool: Spool, append: Append, *, offset: int, on_lost: Callable[[str], None]) -> None:
        self._spool = spool
        self._append = append
        self._offset = offset
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._ending = threading.Event()
        self._losing = threading.Lock()
        self.lost = False
        self._thread = threading.Thread(target=self._work, name=f"send-{spool.lease.run}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Nothing more is said: return when all has arrived, or the service takes no more, or `stop` was called."""
        self._ending.set()
        self._spool.seal()
        self._thread.join()

    def lose(self, why: str) -> None:
        """The run is not ours any more: nothing more is sent of it. `on_lost` is told, once, before this returns."""
        self._stop.set()
        with self._losing:
            first, self.lost = not self.lost, True
        if first:
            self._on_lost(why)

    def stop(self) -> None:
        """Leave it as it is; the next life of this worker goes on."""
        self._stop.set()
        self._spool.seal()
        self._thread.join(timeout=30)

    @property
    def complete(self) -> bool:
        """Whether the service has all that was said."""
        return not self.lost and self._offset >= self._spool.size

    def _work(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            if not self._spool.wait(self._offset, 0 if self._ending.is_set() else _IDLE):
                if self._ending.is_set():
                    return
                continue
            try:
                self._offset = self._append(self._offset, self._spool.read(self._offset, _BATCH))
                pause = _FIRST_PAUSE
            except Conflict as error:
                if error.offset in (None, self._offset) or error.offset > self._spool.size:
                    self.lose(f"the service and this worker disagree about the run's log: {error.message}")
                    return
                self._offset = error.offset
            except Gone as error:
                self.lose(error.message)
                return
            except Unreachable:
                self._stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            except TaskEngineError as error:
                self.lose(f"the service refused the run's log: {error.message}")
                return
            except Exception as error:  # noqa: BLE001 - a run whose log nobody sends must not go on
                self.lose(f"the run's log cannot be sent: {type(error).__name__}: {error}")
                return
