"""Makes each thing once, however many threads ask for it, and hands the same one (or the same failure) to all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
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

    def peek(self, key: Hashable) -> Future[Any] | None:
        """The result in the making or made, if anybody has asked for it."""
        with self._lock:
            return self._futures.get(key)

    def made(self) -> dict[Hashable, Any]:
        """All that has been made successfully so far."""
        with self._lock:
            futures = dict(self._futures)
        return {key: f.result() for key, f in futures.items() if f.done() and f.exception() is None}


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
