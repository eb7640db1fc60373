"""What a service does from time to time, in one thread: the keeper's ticks, deliveries, retention.

A duty that fails is told once, tried again at its next time, and stops none of the others. Of several services on one
database, one at a time delivers and cleans up.
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
    """`every` so many seconds. `failing` is the last failure's words, so that it is told once."""

    name: str
    every: float
    work: Callable[[], object]
    due: float = 0.0
    failing: str = field(default="")


class Duties:
    """A context manager: the thread begins and ends with it. `further` are duties of others, such as triggers."""

    def __init__(self, services: Services, *further: Duty) -> None:
        self._services = services
        self._monotonic = services.ambient.monotonic
        self._keeper = Keeper(services.database, services.bell, services.ambient, term=services.lease_term)
        self._holder = secrets.token_hex(8)
        self._stop = threading.Event()
        begin = self._monotonic()
        self._duties = (
            Duty("keep", 1.0, self._keep),
            Duty("deliver", 2.0, self._deliver),
            Duty("sweep", 600.0, self._sweep, due=begin + _FIRST_SWEEP),
            *further,
        )
        self._thread = threading.Thread(target=self._run, name="service duties")

    def __enter__(self) -> Self:
        self._keeper.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for duty in self._duties:
                if self._monotonic() >= duty.due and not self._stop.is_set():
                    self._do(duty)
                    duty.due = self._monotonic() + duty.every
            self._stop.wait(max(0.05, min(duty.due for duty in self._duties) - self._monotonic()))

    def _do(self, duty: Duty) -> None:
        try:
            duty.work()
        except Exception as error:  # noqa: BLE001 - the next time may be better, and the others must go on
            said = str(error) or type(error).__name__
            if said != duty.failing:
                _log.warning("duty %s failed: %s", duty.name, said, exc_info=not hasattr(error, "hint"))
            duty.failing = said
        else:
            if duty.failing:
                _log.info("duty %s works again", duty.name)
            duty.failing = ""

    def _keep(self) -> None:
        for change in self._keeper.tick():
            _log.warning("run %s is %s: %s", change.run, change.status.value, change.why, extra={"run": change.run})

    def _deliver(self) -> None:
        while not self._stop.is_set() and delivery.deliver_due(self._services, most=5):
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
