"""Makes each thing once, however many threads ask for it, and hands the same one (or the same failure) to all."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from taskengine.runner import Cancel

T = TypeVar("T")


class Canceled(Exception):
    """A wait was given up because the step or the run was canceled."""


class Once:
    """Results of functions that must run once, by key. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[Hashable, Future[Any]] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The result for `key`; the first caller makes it, the others wait. A failure is raised to everyone."""
        with self._lock:
            future = self._futures.get(key)
            mine = future is None
            if future is None:
                future = self._futures[key] = Future()
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()  # type: ignore[no-any-return]


class Crew:
    """Works off jobs, a few at once. Its threads are daemons, unlike an executor's: a job that hangs on an engine that
    does not answer holds up no process that wants to end."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._changed = threading.Condition()
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads = self._unfinished = 0
        self._closed = self._dropping = False

    def submit(self, action: Callable[..., object], *args: object) -> None:
        """Do this soon; whether it fails is nobody's business. Raises RuntimeError after close()."""
        with self._changed:
            if self._closed:
                raise RuntimeError("this crew has gone home")
            self._unfinished += 1
            if self._threads < min(self._most, self._unfinished):
                self._threads += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._jobs.put(functools.partial(action, *args))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self._dropping:
                with contextlib.suppress(Exception):
                    job()
            with self._changed:
                self._unfinished -= 1
                self._changed.notify_all()

    def close(self, *, drop: bool = False, wait: bool = True) -> None:
        """Take no more jobs. `drop` forgets those not begun; `wait` returns when all the others are done."""
        with self._changed:
            self._dropping = self._dropping or drop
            if not self._closed:
                self._closed = True
                for _ in range(self._threads):
                    self._jobs.put(None)
            if wait:
                self._changed.wait_for(lambda: not self._unfinished)


def in_thread(action: Callable[[], T], name: str) -> Future[T]:
    """Begin `action` in a daemon thread: one that hangs on a dead connection holds up neither step nor process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def wait(future: Future[T], cancel: Cancel) -> T:
    """The future's result, or Canceled as soon as `cancel` is set."""
    ready = threading.Event()
    future.add_done_callback(lambda _: ready.set())
    unlisten = cancel.listen(ready.set)
    try:
        ready.wait()
    finally:
        unlisten()
    if not future.done():
        raise Canceled
    return future.result()
