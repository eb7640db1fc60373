"""Who waits, who runs, whose turn it was: what `queueing` decides by, read from the tables, and what it says of those
that wait. Statements are made once, because to make one costs more than to carry it out.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select

from taskengine.runs.model import RunStatus
from taskengine.service import queueing
from taskengine.service.model import Worker
from taskengine.service.store.rows import ACTIVE, worker_of
from taskengine.service.store.tables import Moment, counters, owners, runs, workers

_c = runs.c
#: what a waiting run's turn depends on; the long columns stay where they are
_LIGHT = (
    _c.id, _c.number, _c.owner, _c.task, _c.priority, _c.group_name, _c.group_limit, _c.pool, _c.labels, _c.platform,
    _c.not_before, _c.attempt,
)  # fmt: skip
_KIND = (_c.owner, _c.task, _c.group_name, _c.group_limit, _c.pool, _c.labels, _c.platform)
_now = bindparam("now", type_=Moment())
_ranked = (
    select(*_LIGHT, func.row_number().over(partition_by=_KIND, order_by=(_c.priority.desc(), _c.number)).label("rank"))
    .where(
        _c.status == RunStatus.QUEUED.value,
        or_(_c.not_before.is_(None), _c.not_before <= _now),
        or_(_c.expires.is_(None), _c.expires > _now),
    )
    .subquery()
)
_HEADS = select(_ranked).where(_ranked.c.rank == 1)
_WAITING = select(*_LIGHT).where(_c.status == RunStatus.QUEUED.value)
_RUNNING = select(_c.id, _c.owner, _c.task, _c.group_name, _c.worker).where(_c.status.in_(ACTIVE))
_SERVED = select(owners.c.name, owners.c.served)
_SERVE = owners.update().where(owners.c.name == bindparam("owner")).values(served=bindparam("turn"))
_WORKERS = select(workers).order_by(workers.c.name)
_COUNT = (
    counters.update()
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)


def heads(conn: Connection, now: datetime) -> list[queueing.Waiting]:
    """Of all runs that wait, the first of each kind: those of a kind differ in nothing but priority and age, so no
    other of them can be next. Keeps a lease fast however long the queue is."""
    return [_waiting_of(row) for row in conn.execute(_HEADS, {"now": now})]


def running(conn: Connection) -> list[queueing.Running]:
    return [queueing.Running(id=r[0], owner=r[1], task=r[2], group=r[3], worker=r[4]) for r in conn.execute(_RUNNING)]


def served(conn: Connection) -> dict[str, int]:
    return {row.name: row.served for row in conn.execute(_SERVED)}


def serve(conn: Connection, owner: str) -> None:
    """It was the owner's turn."""
    turn = count(conn, "turn")
    if not conn.execute(_SERVE, {"owner": owner, "turn": turn}).rowcount:
        conn.execute(owners.insert().values(name=owner, served=turn))


def count(conn: Connection, name: str) -> int:
    """The next number of a counter. Runs are numbered under the queue's lock, so they appear in order: a page that was
    read misses none that is older."""
    found = conn.execute(_COUNT, {"counter": name}).scalar()
    if found is None:
        conn.execute(counters.insert().values(name=name, value=1))
        return 1
    return int(found)


def waiting(conn: Connection, *, now: datetime, caps: queueing.Caps = queueing.Caps()) -> list[queueing.Spot]:  # noqa: B008
    """Position and reason of every run that waits, the first to start first."""
    rows = [_waiting_of(row) for row in conn.execute(_WAITING)]
    if not rows:
        return []
    places = [place_of(worker_of(row)) for row in conn.execute(_WORKERS)]
    return queueing.spots(rows, running(conn), served(conn), caps, places, now)


def place_of(worker: Worker) -> queueing.Place:
    return queueing.Place(
        id=worker.id, name=worker.name, pool=worker.pool, labels=worker.labels, platforms=worker.platforms,
        capacity=worker.capacity, state=worker.state, why_not=str(worker.health.get("reason", "")),
    )  # fmt: skip


def _waiting_of(row: Any) -> queueing.Waiting:
    return queueing.Waiting(
        id=row[0], number=row[1], owner=row[2], task=row[3], priority=row[4], group=row[5], group_limit=row[6],
        pool=row[7], labels=row[8], platform=row[9], not_before=row[10], attempt=row[11],
    )  # fmt: skip
