"""How a run leaves a worker's hands: it ends, or it waits again. One place for each, whoever caused it.

Each of them raises the run's epoch, so that nothing which its worker still sends can change it. Must not know why.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from taskengine.runs.model import RunStatus, StepStatus
from taskengine.service.model import Document
from taskengine.service.store import hooks, secrets, taskimages
from taskengine.service.store.rows import clean
from taskengine.service.store.tables import run_attempts, run_steps, runs

_BACK_OFF = timedelta(seconds=10)
_LONGEST_BACK_OFF = timedelta(minutes=5)


def finish(
    conn: Connection, row: Row[Any], status: RunStatus, *, now: datetime, message: str = "", hint: str = "",
    record: Document | None = None,
) -> None:  # fmt: skip
    """The run is over, for good. Its secrets go; steps that were still under way are told as canceled."""
    message = clean(message)
    values: dict[str, Any] = {
        "status": status.value, "finished": now, "updated": now, "lease_until": None, "epoch": row.epoch + 1,
        "message": message, "hint": clean(hint),
    }  # fmt: skip
    if record is not None:
        values["record"] = record
    conn.execute(runs.update().where(runs.c.number == row.number).values(**values))
    _close_attempt(conn, row, status.value, now)
    if row.attempt > 1 or row.worker:
        _settle_steps(conn, row)
    secrets.forget(conn, "run", row.id)
    if row.task and record is not None:
        taskimages.mark(conn, row.task, now=now)  # the record tells what its builds stood on
    hooks.announce(conn, row, status, now=now, message=message)


def requeue(conn: Connection, row: Row[Any], why: str, *, now: datetime, free: bool = False) -> None:
    """The run waits for a further attempt, for a while that doubles each time. A `free` one (its worker gave it back)
    does not count against the most attempts, and waits for nothing."""
    notice = {
        "kind": "retry",
        "attempt": row.attempt,
        "at": now.isoformat().replace("+00:00", "Z"),
        "message": clean(why),
    }
    values: dict[str, Any] = {
        "status": RunStatus.QUEUED.value, "attempt": row.attempt + 1, "epoch": row.epoch + 1, "worker": "",
        "lease_until": None, "started": None, "updated": now, "feed_size": 0, "cause": [notice, *row.cause],
        "not_before": None if free else now + back_off(row.attempt), "max_attempts": row.max_attempts + free,
    }  # fmt: skip
    conn.execute(runs.update().where(runs.c.number == row.number).values(**values))
    _close_attempt(conn, row, clean(why), now)
    _settle_steps(conn, row)
    hooks.announce(conn, row, RunStatus.QUEUED, now=now, message=clean(why))


def back_off(attempt: int) -> timedelta:
    """How long a run waits after its attempt-th attempt broke off: 10 s, 20 s, 40 s, ... 5 minutes at most."""
    return min(_BACK_OFF * (1 << min(attempt - 1, 10)), _LONGEST_BACK_OFF)


def _close_attempt(conn: Connection, row: Row[Any], outcome: str, now: datetime) -> None:
    mine = (run_attempts.c.run == row.id, run_attempts.c.attempt == row.attempt, run_attempts.c.ended.is_(None))
    conn.execute(run_attempts.update().where(*mine).values(ended=now, outcome=outcome or "over"))


def _settle_steps(conn: Connection, row: Row[Any]) -> None:
    for before, after in ((StepStatus.RUNNING, StepStatus.CANCELED), (StepStatus.PENDING, StepStatus.SKIPPED)):
        mine = (run_steps.c.run == row.id, run_steps.c.attempt == row.attempt, run_steps.c.status == before.value)
        conn.execute(run_steps.update().where(*mine).values(status=after.value))
