"""Threads for blocking work: as many as are needed at once, up to a limit; none is left after `close`.

Must not know steps or runs. What a job raises is the job's own affair: jobs must not raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

from taskengine.errors import RunnerError

Job = Callable[[], None]

#: How long to see whether short jobs need more threads at all.
_MOMENT = 0.002


class Pool:
    """Jobs start in the order they come in. `submit` may be called from jobs."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = max(1, limit)
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._adding = threading.Lock()
        self._drained = threading.Event()  # some thread found no job
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads that wait for a job, or are about to

    @property
    def has_backlog(self) -> bool:
        """Whether jobs wait for a thread right now."""
        return not self._jobs.empty()

    def submit(self, jobs: Iterable[Job]) -> None:
        """Hand over jobs; each has a thread of its own at once unless the limit is reached."""
        for job in jobs:
            self._jobs.put(job)
        # All jobs first, then threads: short jobs are done by the first few before the next ones are even made.
        self._add_threads()

    def close(self) -> None:
        """Wait until all that was submitted is done, and end all threads."""
        self._limit = 0
        with self._adding:  # nobody adds a thread any more
            threads = list(self._threads)
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()

    def _add_threads(self) -> None:
        # One thread does this at a time; the look after the release sees what another one left to it meanwhile.
        while self._lacks_thread() and self._adding.acquire(blocking=False):
            try:
                while self._lacks_thread():
                    waiting = self._jobs.qsize()
                    self._add_thread()
                    if waiting - self._jobs.qsize() > 1:
                        # Jobs end faster than threads are made: those that are there may soon be enough.
                        self._drained.clear()
                        self._drained.wait(_MOMENT)
            finally:
                self._adding.release()

    def _lacks_thread(self) -> bool:
        return self._jobs.qsize() > self._idle and len(self._threads) < self._limit

    def _add_thread(self) -> None:
        # Daemon, so that a second Ctrl-C ends the process even while a runner hangs.
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads) + 1}", daemon=True)
        self._threads.append(thread)
        self._count_idle(1)
        self._start(thread)

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # the machine has no more threads to give: go on with those we have
            self._threads.remove(thread)
            self._count_idle(-1)
            self._limit = len(self._threads)
            if self._limit == 0:
                raise RunnerError(
                    "no thread can be started on this machine", hint="raise the limit of processes (ulimit -u)"
                ) from error

    def _work(self) -> None:
        is_idle = True
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                if not is_idle:
                    self._drained.set()
                    self._count_idle(1)
                    is_idle = True
                job = self._jobs.get()
            if job is None:
                return
            if is_idle:
                self._count_idle(-1)
                is_idle = False
                # A job that came in between the two lines above took this thread for a free one.
                self._add_threads()
            job()

    def _count_idle(self, change: int) -> None:
        with self._lock:
            self._idle += change
