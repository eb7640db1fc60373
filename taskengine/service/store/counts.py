"""Numbers for metrics, counted in the database. Must not know who shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from taskengine.runs.model import RunStatus
from taskengine.service.store import watches
from taskengine.service.store.tables import deliveries, runs, workers


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """`queue` has for each pool how many runs wait there, and since when the oldest does. `free_bytes` is what workers
    said of the fullest of their disks, by name; `cache_bytes`, of the build cache on engines that are their own."""

    runs: Mapping[str, int]
    queue: Mapping[str, tuple[int, datetime]]
    workers: Mapping[str, int]
    deliveries: Mapping[str, int]
    free_bytes: Mapping[str, float]
    watches: Mapping[str, int]
    oldest_check: datetime | None
    cache_bytes: Mapping[str, float]


def count(conn: Connection) -> Counts:
    """All of it, in a few statements that look into indexes only."""
    waiting = (
        select(runs.c.pool, func.count(), func.min(runs.c.created))
        .where(runs.c.status == RunStatus.QUEUED.value)
        .group_by(runs.c.pool)
    )
    by_status = select(runs.c.status, func.count()).group_by(runs.c.status)
    by_state = select(deliveries.c.state, func.count()).group_by(deliveries.c.state)
    states: dict[str, int] = {}
    free: dict[str, float] = {}
    cache: dict[str, float] = {}
    for row in conn.execute(select(workers.c.name, workers.c.state, workers.c.drain, workers.c.health)):
        state = "draining" if row.drain and row.state != "lost" else row.state
        states[state] = states.get(state, 0) + 1
        said = row.health.get("free") if isinstance(row.health, dict) else None
        known = [float(v) for v in said.values() if isinstance(v, int | float)] if isinstance(said, dict) else []
        if known:
            free[row.name] = min(known)
        size = row.health.get("cache") if isinstance(row.health, dict) else None
        if isinstance(size, int | float):
            cache[row.name] = float(size)
    watched, oldest = watches.count(conn)
    return Counts(
        runs={row[0]: row[1] for row in conn.execute(by_status)},
        queue={pool: (number, since) for pool, number, since in conn.execute(waiting)},
        workers=states,
        deliveries={row[0]: row[1] for row in conn.execute(by_state)},
        free_bytes=free,
        watches=watched,
        oldest_check=oldest,
        cache_bytes=cache,
    )
