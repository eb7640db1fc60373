"""Workers as the service knows them: registered by name, heard of by heartbeat. Must not know their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from taskengine.errors import NotFound
from taskengine.service.model import Document, Worker, WorkerState
from taskengine.service.store.database import alone
from taskengine.service.store.rows import clean, worker_of
from taskengine.service.store.tables import workers

_REGISTER = 0x41435257


def register(
    conn: Connection, *, name: str, new_id: str, now: datetime, pool: str = "", labels: Mapping[str, str] | None = None,
    platforms: Sequence[str] = (), capacity: int = 2, version: str = "",
) -> Worker:  # fmt: skip
    """A worker that comes, or comes back: the same name keeps its id, and no longer drains. It is `starting` until it
    says otherwise."""
    values = {
        "pool": pool, "labels": dict(labels or {}), "platforms": list(platforms), "capacity": capacity,
        "version": clean(version, 50), "state": WorkerState.STARTING.value, "drain": False, "health": {}, "seen": now,
    }  # fmt: skip
    alone(conn, _REGISTER)
    if not conn.execute(workers.update().where(workers.c.name == name).values(**values)).rowcount:
        conn.execute(workers.insert().values(id=new_id, name=name, registered=now, **values))
    return worker_of(conn.execute(select(workers).where(workers.c.name == name)).one())


def get(conn: Connection, worker: str) -> Worker:
    """By id. Raises NotFound."""
    row = conn.execute(select(workers).where(workers.c.id == worker)).first()
    if row is None:
        raise NotFound(f"there is no worker {worker}", hint="a worker registers anew when it is told so")
    return worker_of(row)


def name_of(conn: Connection, worker: str) -> str:
    """The name of the worker with this id; empty when there is none."""
    return str(conn.execute(select(workers.c.name).where(workers.c.id == worker)).scalar() or "")


def list_all(conn: Connection) -> list[Worker]:
    """By name."""
    return [worker_of(row) for row in conn.execute(select(workers).order_by(workers.c.name))]


def beat(conn: Connection, worker: str, state: WorkerState, health: Document, *, now: datetime) -> Worker:
    """Heard of it. Returns it as it is now: `draining` when it was asked to. Raises NotFound."""
    values = {"state": state.value, "health": health, "seen": now}
    if not conn.execute(workers.update().where(workers.c.id == worker).values(**values)).rowcount:
        raise NotFound(f"there is no worker {worker}", hint="a worker registers anew when it is told so")
    return get(conn, worker)


def drain(conn: Connection, worker: str, wanted: bool) -> Worker:
    """Asks it to take no further runs, or to take some again. Raises NotFound."""
    if not conn.execute(workers.update().where(workers.c.id == worker).values(drain=wanted)).rowcount:
        raise NotFound(f"there is no worker {worker}")
    return get(conn, worker)


def any_silent(conn: Connection, *, now: datetime, after: timedelta) -> bool:
    """Whether `mark_lost` would find one."""
    silent = (workers.c.seen < now - after, workers.c.state != WorkerState.LOST.value)
    return conn.execute(select(workers.c.id).where(*silent).limit(1)).first() is not None


def mark_lost(conn: Connection, *, now: datetime, after: timedelta) -> list[Worker]:
    """Those that were not heard of for so long are lost, until they are heard of again. Returns the newly lost."""
    silent = (workers.c.seen < now - after, workers.c.state != WorkerState.LOST.value)
    found = [worker_of(row) for row in conn.execute(select(workers).where(*silent))]
    if found:
        conn.execute(workers.update().where(*silent).values(state=WorkerState.LOST.value))
    return found


def forget(conn: Connection, *, now: datetime, after: timedelta) -> list[str]:
    """Takes lost workers off the list that were not heard of for very long. Returns their names."""
    gone = (workers.c.seen < now - after, workers.c.state == WorkerState.LOST.value)
    names = list(conn.execute(select(workers.c.name).where(*gone)).scalars())
    if names:
        conn.execute(workers.delete().where(*gone))
    return names
