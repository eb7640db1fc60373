"""Who waits, who runs, whose turn it was: what `queueing` decides by, read from the tables, and what it says of those
that wait. Statements are made once, because to make one costs more than to carry it out.
"""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, cast, func, literal_column, or_, select

from taskengine.runs.model import RunStatus
from taskengine.service import queueing
from taskengine.service.model import RunRequest, Worker
from taskengine.service.store.rows import ACTIVE, worker_of
from taskengine.service.store.tables import Moment, counters, owners, runs, workers

_c = runs.c
#: what a waiting run's turn depends on; the long columns stay where they are
_LIGHT = (
    _c.id, _c.number, _c.owner, _c.task, _c.priority, _c.group_name, _c.group_limit, _c.pool, _c.labels, _c.platform,
    _c.not_before, _c.attempt,
)  # fmt: skip
_AGES = 1 << 31  # more runs than there will be
_now = bindparam("now", type_=Moment())
_queued = _c.status == literal_column(f"'{RunStatus.QUEUED.value}'")  # in so many words, as its partial index has it
#: the first of each kind, as one number: priority above, age below; the index gives it without a sort
_FIRSTS = (
    select(func.min(_c.number - cast(_c.priority, BigInteger) * _AGES))
    .where(
        _queued,
        or_(_c.not_before.is_(None), _c.not_before <= _now),
        or_(_c.expires.is_(None), _c.expires > _now),
    )
    .group_by(_c.kind)
)
_HEADS = select(*_LIGHT).where(_c.number.in_(bindparam("numbers", expanding=True)))
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
    numbers = [key % _AGES for key in conn.execute(_FIRSTS, {"now": now}).scalars()]
    return [_waiting_of(row) for row in conn.execute(_HEADS, {"numbers": numbers})] if numbers else []


def kind_of(request: RunRequest) -> str:
    """The same for runs that differ in nothing but priority and age, as far as their turn is concerned."""
    group = request.group
    shape = [
        request.owner, request.task, group.name if group else "", group.limit if group else 0, request.pool,
        sorted(request.labels.items()), str(request.spec.get("platform", "")),
    ]  # fmt: skip
    return sha256(json.dumps(shape).encode()).hexdigest()[:32]


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


def all_waiting(conn: Connection) -> list[queueing.Waiting]:
    """Every run that waits, in no order."""
    return [_waiting_of(row) for row in conn.execute(_WAITING)]


def waiting(conn: Connection, *, now: datetime, caps: queueing.Caps = queueing.Caps()) -> list[queueing.Spot]:  # noqa: B008
    """Position and reason of every run that waits, the first to start first."""
    found = all_waiting(conn)
    if not found:
        return []
    places = [place_of(worker_of(row)) for row in conn.execute(_WORKERS)]
    return queueing.spots(found, running(conn), served(conn), caps, places, now)


def place_of(worker: Worker) -> queueing.Place:
    return queueing.Place(
        id=worker.id, name=worker.name, pool=worker.pool, labels=worker.labels, platforms=worker.platforms,
        capacity=worker.capacity, state=worker.state, why_not=str(worker.health.get("why", "")),
    )  # fmt: skip


def _waiting_of(row: Any) -> queueing.Waiting:
    return queueing.Waiting(
        id=row[0], number=row[1], owner=row[2], task=row[3], priority=row[4], group=row[5], group_limit=row[6],
        pool=row[7], labels=row[8], platform=row[9], not_before=row[10], attempt=row[11],
    )  # fmt: skip
