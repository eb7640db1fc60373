"""What time asks of the service: leases that run out, runs that waited too long, cancels that were not obeyed, workers
that are silent. `tick` once a second, from one thread; several services may each have a keeper.

Nothing here trusts the clock of the day. Between ticks a steady clock runs beside it, and when the two differ, the
day's clock has jumped (or this process slept): then every lease gets a full term anew, instead of running out while its
worker is well. And whether a run is past its time limit is measured by the steady clock alone, from when this process
first saw it run. Must not know HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from taskengine.ambient import Ambient
from taskengine.service.store import queue, workers
from taskengine.service.store.database import Database
from taskengine.service.store.feeds import topic
from taskengine.service.store.signals import QUEUE, Signals

#: how far the clocks may be apart from one tick to the next before it counts as a jump
JUMP = timedelta(seconds=2)


class Keeper:
    """One service's keeper. `term` is how long a lease lasts, `obey` how long a worker has to stop a run."""

    def __init__(
        self, database: Database, signals: Signals, ambient: Ambient, *, term: timedelta = queue.LEASE,
        obey: timedelta = queue.OBEY,
    ) -> None:  # fmt: skip
        self._database = database
        self._signals = signals
        self._ambient = ambient
        self._term = term
        self._obey = obey
        self._last: tuple[datetime, float] | None = None
        self._first_seen: dict[tuple[str, int], float] = {}

    def start(self) -> int:
        """Before the first tick, and before workers are answered: while no service ran, nobody could renew, so every
        lease gets a full term. Returns how many there were."""
        now = self._ambient.now()
        self._last = (now, self._ambient.monotonic())
        return self._database.transact(lambda conn: queue.renew_all(conn, now=now, term=self._term))

    def tick(self) -> list[queue.Change]:
        """Does what is due, and wakes who waits for it. Returns what became of which run. Raises Unreachable."""
        now, steady = self._ambient.now(), self._ambient.monotonic()
        if self._jumped(now, steady):
            self._database.transact(lambda conn: queue.renew_all(conn, now=now, term=self._term))
        self._last = (now, steady)
        with self._database.read() as conn:
            overdue = self._overdue(queue.time_limits(conn), steady)
            due = bool(overdue) or queue.anything_due(conn, now=now, term=self._term, obey=self._obey)
            silent = workers.any_silent(conn, now=now, after=self._term)
        changes: list[queue.Change] = []
        if due:
            changes = self._database.transact(
                lambda conn: queue.expire(conn, now=now, term=self._term, obey=self._obey, overdue=overdue)
            )
        if silent:
            self._database.transact(lambda conn: workers.mark_lost(conn, now=now, after=self._term))
        if changes:
            self._signals.tell(QUEUE, *(topic(change.run) for change in changes))
        return changes

    def _jumped(self, now: datetime, steady: float) -> bool:
        if self._last is None:
            return True
        before, then = self._last
        return abs((now - before) - timedelta(seconds=steady - then)) > JUMP

    def _overdue(self, limits: Mapping[tuple[str, int], int], steady: float) -> frozenset[str]:
        """Runs that this process has seen run for longer than their time limit and the time to obey."""
        self._first_seen = {key: self._first_seen.get(key, steady) for key in limits}
        grace = self._obey.total_seconds()
        return frozenset(
            run for (run, epoch), limit in limits.items() if steady - self._first_seen[run, epoch] > limit + grace
        )
