"""Outgoing webhooks and what is to be delivered to them. A delivery is written in the transaction that it tells of, so
none is lost and none tells of what did not happen. Must not know HTTP, nor how a delivery is signed.
"""

from __future__ import annotations

import json
import secrets as random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from taskengine.errors import NotFound
from taskengine.runs.model import RunStatus
from taskengine.service.model import Document
from taskengine.service.store import secrets, statuses
from taskengine.service.store.rows import clean, place_of_cursor
from taskengine.service.store.tables import deliveries, hooks

#: how long after each failed attempt the next one is made; after the last, the delivery is dead
PAUSES = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600))
_EVENTS = {
    RunStatus.QUEUED: "run.queued",
    RunStatus.STARTED: "run.leased",
    RunStatus.RUNNING: "run.started",
}
_WANTING = select(hooks).where(hooks.c.enabled)
_HIDDEN_FOR = timedelta(minutes=2)  # while one service tries a delivery, no other does


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """Where to tell of what. No `events` means all; `tasks` are patterns of names, none means all (and quick runs)."""

    id: str
    url: str
    events: tuple[str, ...]
    tasks: tuple[str, ...]
    enabled: bool
    created: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One telling. `body` is the CloudEvent; `state` is waiting, delivered or dead; `status` the last answer's code."""

    number: int
    hook: str
    event_id: str
    body: Document
    state: str
    attempts: int
    next_at: datetime | None
    status: int
    error: str
    created: datetime
    done: datetime | None


def create(
    conn: Connection, box: secrets.SecretBox, *, url: str, secret: str, now: datetime, events: Iterable[str] = (),
    tasks: Iterable[str] = (),
) -> Hook:  # fmt: skip
    """`secret` signs what is sent; it is sealed and not shown again."""
    made = Hook(
        id=random.token_hex(6), url=url, events=tuple(events), tasks=tuple(tasks), enabled=True, created=now
    )  # fmt: skip
    conn.execute(
        hooks.insert().values(
            id=made.id, url=url, events=list(made.events), tasks=list(made.tasks), enabled=True, created=now
        )
    )
    secrets.put(conn, box, "hook", made.id, {"secret": secret}, now=now)
    return made


def get(conn: Connection, hook: str) -> Hook:
    """Raises NotFound."""
    row = conn.execute(select(hooks).where(hooks.c.id == hook)).first()
    if row is None:
        raise NotFound(f"there is no hook {hook}")
    return _hook(row)


def list_all(conn: Connection) -> list[Hook]:
    return [_hook(row) for row in conn.execute(select(hooks).order_by(hooks.c.created, hooks.c.id))]


def update(
    conn: Connection, hook: str, *, url: str | None = None, events: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None, enabled: bool | None = None,
) -> Hook:  # fmt: skip
    """Changes what is given. Raises NotFound."""
    given: dict[str, Any] = {"url": url, "enabled": enabled}
    given |= {"events": None if events is None else list(events), "tasks": None if tasks is None else list(tasks)}
    change = {name: value for name, value in given.items() if value is not None}
    if change:
        conn.execute(hooks.update().where(hooks.c.id == hook).values(**change))
    return get(conn, hook)


def delete(conn: Connection, hook: str) -> None:
    """With its deliveries and its secret. Raises NotFound."""
    get(conn, hook)
    secrets.forget(conn, "hook", hook)
    conn.execute(deliveries.delete().where(deliveries.c.hook == hook))
    conn.execute(hooks.delete().where(hooks.c.id == hook))


def announce(conn: Connection, run: Row[Any], status: RunStatus, *, now: datetime, message: str = "") -> None:
    """Puts up the deliveries of a run's change, for every hook that asked, and for the forge of its commit. `run` is
    its row from before the change."""
    statuses.announce(conn, run, status, now=now, message=message)
    wanting = conn.execute(_WANTING).all()
    if not wanting:
        return
    kind = "run.finished" if status.is_final else _EVENTS[status]
    for hook in wanting:
        if hook.events and kind not in hook.events:
            continue
        if hook.tasks and not any(fnmatchcase(run.task, pattern) for pattern in hook.tasks):
            continue
        event_id = f"{run.id}.{run.attempt}.{run.epoch}.{kind}"
        body = _cloud_event(event_id, kind, run, status, now, message)
        conn.execute(
            deliveries.insert().values(
                hook=hook.id, event_id=event_id, body=body, state="waiting", attempts=0, next_at=now, status=0,
                error="", created=now,
            )
        )  # fmt: skip


def due(conn: Connection, *, now: datetime, most: int = 20) -> list[Delivery]:
    """Deliveries whose time has come; nobody else gets them for two minutes, so report each with `told`."""
    statement = select(deliveries).where(deliveries.c.state == "waiting", deliveries.c.next_at <= now)
    statement = statement.order_by(deliveries.c.next_at, deliveries.c.number).limit(most)
    rows = conn.execute(statement.with_for_update(skip_locked=True)).all()
    if rows:
        mine = deliveries.c.number.in_([row.number for row in rows])
        conn.execute(deliveries.update().where(mine).values(next_at=now + _HIDDEN_FOR))
    return [_delivery(row) for row in rows]


def told(conn: Connection, number: int, *, now: datetime, ok: bool, status: int = 0, error: str = "") -> None:
    """How an attempt at a delivery went: it is done, or waits for the next one, or is dead after the last."""
    row = conn.execute(select(deliveries).where(deliveries.c.number == number).with_for_update()).first()
    if row is None or row.state != "waiting":
        return
    values: dict[str, Any] = {"attempts": row.attempts + 1, "status": status, "error": clean(error, 1000)}
    if ok:
        values |= {"state": "delivered", "done": now, "next_at": None}
    elif row.attempts < len(PAUSES):
        values |= {"next_at": now + PAUSES[row.attempts]}
    else:
        values |= {"state": "dead", "done": now, "next_at": None}
    conn.execute(deliveries.update().where(deliveries.c.number == number).values(**values))


def replay(conn: Connection, hook: str, number: int, *, now: datetime) -> Delivery:
    """Sends it again from the first attempt on, whatever became of it. Raises NotFound."""
    mine = and_(deliveries.c.hook == hook, deliveries.c.number == number)
    values = {"state": "waiting", "attempts": 0, "next_at": now, "error": "", "status": 0, "done": None}
    if not conn.execute(deliveries.update().where(mine).values(**values)).rowcount:
        raise NotFound(f"hook {hook} has no delivery {number}")
    return _delivery(conn.execute(select(deliveries).where(mine)).one())


def page(
    conn: Connection, hook: str, *, state: str | None = None, top: int = 15, cursor: str | None = None
) -> tuple[list[Delivery], str | None]:
    """A hook's deliveries, the newest first, and the cursor of the next page. Raises NotFound, and InvalidInput for a
    cursor that is none."""
    get(conn, hook)
    statement = select(deliveries).where(deliveries.c.hook == hook).order_by(deliveries.c.number.desc()).limit(top + 1)
    if state is not None:
        statement = statement.where(deliveries.c.state == state)
    if cursor:
        statement = statement.where(deliveries.c.number < place_of_cursor(cursor))
    found = [_delivery(row) for row in conn.execute(statement)]
    return found[:top], str(found[top - 1].number) if len(found) > top else None


def _cloud_event(
    event_id: str, kind: str, run: Row[Any], status: RunStatus, now: datetime, message: str
) -> dict[str, Any]:
    """CloudEvents 1.0, in its JSON form."""
    data = {
        "runId": run.id, "status": status.value, "task": run.task or None, "type": run.type, "owner": run.owner,
        "attempt": run.attempt, "runErrorMessage": message or None,
    }  # fmt: skip
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "acr-task",
        "type": f"acr-task.{kind}",
        "subject": f"runs/{run.id}",
        "time": now.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": json.loads(json.dumps({name: value for name, value in data.items() if value is not None})),
    }


def _hook(row: Row[Any]) -> Hook:
    return Hook(
        id=row.id, url=row.url, events=tuple(row.events), tasks=tuple(row.tasks), enabled=row.enabled,
        created=row.created,
    )  # fmt: skip


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(**{name: getattr(row, name) for name in Delivery.__slots__})
