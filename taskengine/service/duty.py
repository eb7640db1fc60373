"""What a service does from time to time: the keeper's ticks, deliveries, retention.

Each has a thread of its own, so that a slow one (a receiver of webhooks that does not answer) keeps no lease from
running out and no timer from firing.

A duty that fails is told once, tried again at its next time, and stops none of the others. Of several services on one
database, one at a time cleans up.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from taskengine.service import delivery
from taskengine.service.keeper import Keeper
from taskengine.service.services import Services
from taskengine.service.store import duties, retention, workers

_log = logging.getLogger("taskengine.service.duty")
_FORGET_WORKERS = timedelta(days=7)
_FIRST_SWEEP = 60.0


@dataclass
class Duty:
    """`every` so many seconds, for the first time after `first`. With a `topic`, also whenever that is told, and again
    at once while the work says that there was some. `failing` is the last failure's words, so that it is told once."""

    name: str
    every: float
    work: Callable[[], object]
    first: float = 0.0
    topic: str = ""
    failing: str = field(default="", init=False)


class Duties:
    """A context manager: the threads begin and end with it. `further` are duties of others, such as triggers."""

    def __init__(self, services: Services, *further: Duty) -> None:
        self._services = services
        self._keeper = Keeper(services.database, services.bell, services.ambient, term=services.lease_term)
        self._holder = secrets.token_hex(8)
        self._stop = threading.Event()
        self._duties = (
            Duty("keep", 1.0, self._keep),
            Duty("deliver", 2.0, self._deliver),
            Duty("sweep", 600.0, self._sweep, first=_FIRST_SWEEP),
            *further,
        )
        self._threads = [
            threading.Thread(target=self._run, args=(duty,), name=f"duty {duty.name}") for duty in self._duties
        ]

    def __enter__(self) -> Self:
        self._keeper.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._services.bell.tell(*(duty.topic for duty in self._duties if duty.topic))
        for thread in self._threads:
            thread.join()

    def _run(self, duty: Duty) -> None:
        if duty.topic:
            self._run_when_told(duty)
            return
        pause = duty.first
        while not self._stop.wait(pause):
            self._do(duty)
            pause = duty.every

    def _run_when_told(self, duty: Duty) -> None:
        with self._services.bell.watch(duty.topic) as told:
            self._stop.wait(duty.first)
            while not self._stop.is_set():
                if self._do(duty):
                    continue
                if self._services.bell.closed:  # nothing is told any more
                    self._stop.wait(duty.every)
                else:
                    told.wait(duty.every)

    def _do(self, duty: Duty) -> bool:
        """Whether there was something to do."""
        found: object = None
        try:
            found = duty.work()
        except Exception as error:  # noqa: BLE001 - the next time may be better, and the others must go on
            said = str(error) or type(error).__name__
            if said != duty.failing:
                _log.warning("duty %s failed: %s", duty.name, said, exc_info=not hasattr(error, "hint"))
            duty.failing = said
        else:
            if duty.failing:
                _log.info("duty %s works again", duty.name)
            duty.failing = ""
        return bool(found)

    def _keep(self) -> None:
        for change in self._keeper.tick():
            _log.warning("run %s is %s: %s", change.run, change.status.value, change.why, extra={"run": change.run})

    def _deliver(self) -> None:
        # one at a time: a shutdown waits for one receiver at most
        while not self._stop.is_set() and delivery.deliver_due(self._services, most=1):
            pass

    def _sweep(self) -> None:
        if not self._mine("sweep", timedelta(hours=1)):
            return
        services, now = self._services, self._services.now()
        gone = retention.carry_out(services.database, services.feeds, services.uploads, services.retention(), now=now)
        services.database.transact(lambda conn: workers.forget(conn, now=now, after=_FORGET_WORKERS))
        if gone:
            _log.info("retention: %s things went, %s bytes", len(gone), sum(loss.size for loss in gone))

    def _mine(self, name: str, term: timedelta) -> bool:
        now = self._services.now()
        return self._services.database.transact(lambda conn: duties.take(conn, name, self._holder, now=now, term=term))
