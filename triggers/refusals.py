"""Counts deliveries that were not believed, and writes them to the ledger from time to time.

Whoever knows the service's address can send them, as many as they like: so a delivery costs a number in memory, and the
ledger gets one row for a source and a task, of which it keeps a bounded number. What a crash loses is a count.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from taskengine.service.services import Services
from taskengine.service.store import Connection, ledger

_MOST = 100
_log = logging.getLogger("triggers.refusals")


@dataclass
class _Count:
    why: str
    headers: Mapping[str, str]
    times: int = 0


class Refusals:
    """Thread-safe. `flush` writes what was noted since the last time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], _Count] = {}

    def note(self, source: str, task: str, why: str, headers: Mapping[str, str]) -> None:
        """One more. Of very many different tasks, only the first are told apart."""
        key = (source, task[:200])
        with self._lock:
            if key not in self._counts and len(self._counts) >= _MOST:
                key = (source, "")
            found = self._counts.setdefault(key, _Count(why, headers))
            found.why, found.headers = why, headers
            found.times += 1

    def flush(self) -> int:
        """How many rows were written."""
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return 0
        now = self._services.now()

        def work(conn: Connection) -> None:
            for (source, task), count in counts.items():
                ledger.refused(
                    conn, source=source, task=task, why=count.why, times=count.times, headers=count.headers, now=now
                )

        self._services.database.transact(work)
        for (source, task), count in counts.items():
            _log.warning("refused %d deliveries of %s for %r: %s", count.times, source, task[:50], count.why)
        return len(counts)
