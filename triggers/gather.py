"""Does small things together: what arrives while one batch is being done makes up the next one.

Whoever comes alone waits for nobody. Where each thing alone would cost a transaction and a flush of the disk, a crowd
pays for one of them. Must not know what the things are.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, InvalidStateError
from typing import Generic, TypeVar

from taskengine.errors import TaskEngineError, Unreachable

T = TypeVar("T")
R = TypeVar("R")


class Gatherer(Generic[T, R]):
    """`work` does a batch of at most `most` things: its answer has one entry for each, in order, which is a result or
    the error that this one alone comes to. Unreachable that it raises is everybody's; after any other error each thing
    of the batch is done alone, so that one does no harm to those beside it. When `waiting` things wait, the next one is
    turned away. Thread-safe; it has a thread of `executor` only while there is something to do."""

    def __init__(
        self, work: Callable[[Sequence[T]], Sequence[R | TaskEngineError]], executor: Executor, *, most: int = 100,
        waiting: int = 2_000,
    ) -> None:  # fmt: skip
        self._work = work
        self._executor = executor
        self._most = most
        self._room = waiting
        self._lock = threading.Lock()
        self._waiting: deque[tuple[T, Future[R]]] = deque()
        self._busy = False

    async def do(self, thing: T) -> R:
        """Returns when it is done. Raises what it comes to, and Unreachable when too many wait already."""
        return await asyncio.wrap_future(self.submit(thing))

    def submit(self, thing: T) -> Future[R]:
        """As `do`, for threads."""
        done: Future[R] = Future()
        with self._lock:
            if len(self._waiting) >= self._room:
                raise Unreachable("too much arrives at once", hint="send it again in a moment")
            self._waiting.append((thing, done))
            begins, self._busy = not self._busy, True
        if begins:
            self._executor.submit(self._run)
        return done

    def _run(self) -> None:
        while batch := self._next():
            for (_, done), answer in zip(batch, self._answers([thing for thing, _ in batch]), strict=True):
                _settle(done, answer)

    def _answers(self, things: Sequence[T]) -> Sequence[R | BaseException]:
        try:
            return self._work(things)
        except Unreachable as error:
            return [error] * len(things)
        except BaseException as error:  # noqa: BLE001 - who waits has to hear of it, and the next batch is another
            return [error] if len(things) == 1 else [self._answers([thing])[0] for thing in things]

    def _next(self) -> list[tuple[T, Future[R]]]:
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            self._busy = bool(batch)
            return batch


def _settle(done: Future[R], answer: R | BaseException) -> None:
    try:
        if isinstance(answer, BaseException):
            done.set_exception(answer)
        else:
            done.set_result(answer)
    except InvalidStateError:
        pass  # who asked has gone meanwhile
