"""Starts the sandboxes of a run's lanes ahead of their steps' turns, and tells each step which one to join.

A step whose sandbox is not begun when its turn comes takes a network namespace of its own, and its name is then left
out of the sandbox's, so that a name always means one address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future

from runners.docker.lanes import Lane
from runners.docker.once import Crew

Start = Callable[[int, str, Iterable[str]], str]


class Sandboxes:
    """Thread-safe. `start(lane id, network, names)` starts a sandbox and returns its container's id."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._lanes: dict[str, Lane] = {}
        self._direct: set[str] = set()
        self._begun: dict[int, Future[str]] = {}
        # one at a time: a start keeps a processor busy that the running steps want
        self._pool = Crew(1, "sandbox")

    def warm(self, lanes: Sequence[Lane]) -> None:
        """Begin to start the sandboxes that pay: a lane of one step that starts at once gains nothing from one.

        Of the lanes that start at once the first one's first step waits for its sandbox, which costs less than two
        namespaces; the others' first steps would wait too long and take their own.
        """
        promised = False
        for lane in lanes:
            if lane.at_once and len(lane.steps) == 1:
                continue
            future: Future[str] = Future()
            with self._lock:
                self._lanes |= dict.fromkeys(lane.steps, lane)
                if lane.at_once and not promised:
                    promised = True
                    self._begun[lane.id] = future
                elif lane.at_once:
                    self._direct.add(lane.steps[0])
            try:
                self._pool.submit(self._begin, lane, future)
            except RuntimeError as error:  # the run ended meanwhile, or no thread is to be had
                future.set_exception(error)

    def _begin(self, lane: Lane, future: Future[str]) -> None:
        with self._lock:
            names = [step for step in lane.steps if step not in self._direct]
            if not names:
                return
            self._begun[lane.id] = future
        try:
            future.set_result(self._start(lane.id, lane.network, names))
        except BaseException as error:  # noqa: BLE001 - its steps then take namespaces of their own
            future.set_exception(error)

    def join(self, step: str) -> str | None:
        """The container whose network namespace the step is to join; None when it is to have one of its own."""
        with self._lock:
            lane = self._lanes.get(step)
            future = self._begun.get(lane.id) if lane is not None and step not in self._direct else None
            if future is None:
                self._direct.add(step)
                return None
        try:
            return future.result()
        except Exception:  # noqa: BLE001 - see _begin
            return None

    def close(self, *, wait: bool = True) -> None:
        """Start no more; return when none is being started."""
        self._pool.close(drop=True, wait=wait)
        with self._lock:
            for future in self._begun.values():
                future.cancel()  # promised and never begun
