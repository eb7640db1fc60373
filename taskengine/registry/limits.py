"""How long a call may take, how often it is tried, and who may stop it. Plain data and the little that waits.

Must not know HTTP: it is handed down to whatever waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import field
from typing import Protocol

from taskengine.ambient import Ambient
from taskengine.errors import Interrupted
from taskengine.lightclass import dataclass


class Cancel(Protocol):
    """A request to stop; `taskengine.runner.Cancel` is one."""

    @property
    def is_set(self) -> bool: ...

    def listen(self, listener: Callable[[], None], /) -> Callable[[], None]: ...


class Never:
    """Nobody stops this call."""

    is_set = False

    def listen(self, _: Callable[[], None], /) -> Callable[[], None]:
        return lambda: None


class Stop:
    """Ends what was begun together: set by the first that fails, and by whoever cancels them all."""

    def __init__(self, parent: Cancel) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._unlisten = parent.listen(self.set)

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        with self._lock:
            self._event.set()
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        with self._lock:
            if not self._event.is_set():
                self._listeners.append(listener)
                return lambda: self._remove(listener)
        listener()
        return lambda: None

    def close(self) -> None:
        self._unlisten()

    def _remove(self, listener: Callable[[], None]) -> None:
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)


def sleep(seconds: float, cancel: Cancel) -> None:
    """Wait; wake up early when canceled."""
    woken = threading.Event()
    unlisten = cancel.listen(woken.set)
    try:
        woken.wait(seconds)
    finally:
        unlisten()


@dataclass(frozen=True, kw_only=True)
class Limits:
    """In seconds. `call` bounds one call with all its tries, `stall` the silence while a blob travels (a big one may
    take long, but it must move), `connect` the way to the server, `wait` the longest Retry-After that is honoured."""

    connect: float = 10.0
    call: float = 60.0
    stall: float = 60.0
    wait: float = 60.0
    tries: int = 4
    first_pause: float = 0.5
    cancel: Cancel = field(default_factory=Never)
    sleep: Callable[[float, Cancel], None] = sleep
    ambient: Ambient = field(default_factory=Ambient.system)

    def deadline(self) -> float:
        return self.ambient.monotonic() + self.call

    def check(self, what: str) -> None:
        if self.cancel.is_set:
            raise Interrupted(f"canceled: {what}")

    def pause(self, seconds: float, what: str) -> None:
        """Wait before trying again."""
        self.check(what)
        self.sleep(seconds, self.cancel)
        self.check(what)
