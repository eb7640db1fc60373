"""Threads for blocking work: as many as are needed at once, up to a limit; none is left after `close`.

Must not know steps or runs. What a job raises is the job's own affair: jobs must not raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from taskengine.errors import RunnerError

Job = Callable[[], None]


class Pool:
    """Jobs start in the order they come in. `submit` may be called from jobs."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit = max(1, limit)
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._unclaimed = 0  # jobs submitted and not taken yet
        self._idle = 0  # threads that wait for a job, or are about to

    @property
    def has_backlog(self) -> bool:
        """Whether jobs wait for a thread right now."""
        return not self._jobs.empty()

    def submit(self, job: Job) -> None:
        with self._lock:
            self._unclaimed += 1
            thread = self._new_thread() if self._unclaimed > self._idle else None
        self._jobs.put(job)
        if thread is not None:
            self._start(thread)

    def close(self) -> None:
        """Wait until all that was submitted is done, and end all threads."""
        with self._lock:
            threads, self._limit = list(self._threads), 0
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            if thread.ident is not None:
                thread.join()

    def _new_thread(self) -> threading.Thread | None:
        if len(self._threads) >= self._limit:
            return None
        # Daemon, so that a second Ctrl-C ends the process even while a runner hangs.
        thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads) + 1}", daemon=True)
        self._threads.append(thread)
        self._idle += 1
        return thread

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # the machine has no more threads to give: go on with those we have
            with self._lock:
                self._threads.remove(thread)
                self._idle -= 1
                self._limit = len(self._threads)
            if self._limit == 0:
                raise RunnerError(
                    "no thread can be started on this machine", hint="raise the limit of processes (ulimit -u)"
                ) from error

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            with self._lock:
                self._unclaimed -= 1
                self._idle -= 1
            job()
            with self._lock:
                self._idle += 1
