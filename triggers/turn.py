"""Whose turn a duty is, of several services on one database: one has it for a while, and keeps it while it works.

A service that ends in order gives it back; after one that was killed, another waits until its time is up.
"""

from __future__ import annotations

import secrets as random
import threading
from datetime import datetime, timedelta

from taskengine.service.services import Services
from taskengine.service.store import duties

_TERM = timedelta(seconds=20)
#: with less than this left it is asked for anew; before that the database is not written to
_RENEW = timedelta(seconds=10)


class Turn:
    """Thread-safe. `name` is the duty's."""

    def __init__(self, services: Services, name: str) -> None:
        self._services = services
        self._name = name
        self._holder = random.token_hex(8)
        self._lock = threading.Lock()
        self._until: datetime | None = None

    def mine(self) -> bool:
        """Whether it is this service's turn; it is for ten seconds at least from now on then."""
        with self._lock:
            now = self._services.now()
            if self._until is not None and now + _RENEW <= self._until <= now + _TERM:
                return True
            mine = self._services.database.transact(
                lambda conn: duties.take(conn, self._name, self._holder, now=now, term=_TERM)
            )
            self._until = now + _TERM if mine else None
            return mine

    def give_back(self) -> None:
        """Let another service have it at once."""
        with self._lock:
            self._until = None
        self._services.database.transact(lambda conn: duties.release(conn, self._name, self._holder))
