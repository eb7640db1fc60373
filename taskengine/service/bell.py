"""Wakes coroutines that wait, beside the threads that `Signals` wakes: one word, told from any thread, reaches both.

Hundreds of followers and workers wait at once; each costs an event, not a thread. In one process; what others change is
found by looking again, so every wait has an end. Must not know what a topic means.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict
from typing import Self

from taskengine.service.store.signals import Signals


class Bell(Signals):
    """Thread-safe. Listen before you look, so that nothing that happens after the look is missed."""

    def __init__(self) -> None:
        super().__init__()
        self._guard = threading.Lock()
        self._ears: defaultdict[str, set[Ear]] = defaultdict(set)

    def tell(self, *names: str) -> None:
        super().tell(*names)
        with self._guard:
            ears = [ear for name in names for ear in self._ears.get(name, ())]
        for ear in ears:
            ear.wake()

    def close(self) -> None:
        super().close()
        with self._guard:
            ears = [ear for found in self._ears.values() for ear in found]
        for ear in ears:
            ear.wake()

    def listen(self, *names: str) -> Ear:
        """From now on, in the running event loop. Leave it with `with`."""
        ear = Ear(self, names)
        with self._guard:
            for name in names:
                self._ears[name].add(ear)
        return ear

    def forget(self, ear: Ear) -> None:
        with self._guard:
            for name in ear.names:
                self._ears[name].discard(ear)
                if not self._ears[name]:
                    del self._ears[name]


class Ear:
    """One coroutine that waits."""

    def __init__(self, bell: Bell, names: tuple[str, ...]) -> None:
        self.names = names
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> bool:
        """Whether anything was told since the last time; at once when it was already, or when all is over."""
        if self._bell.closed:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bell.forget(self)
