"""Who did what, and when: written in the transaction that does it. Must not know how it came to be allowed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from taskengine.service.store.rows import clean, place_of_cursor
from taskengine.service.store.tables import audit


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """`actor` is a token's name, or `service`; `action` a word like `task.create`; `object` what it was done to."""

    number: int
    at: datetime
    actor: str
    action: str
    object: str
    detail: dict[str, Any]


def note(conn: Connection, actor: str, action: str, object_: str, *, now: datetime, **detail: Any) -> None:
    """Keeps an entry. `detail` is plain data, without secrets."""
    values = {"actor": clean(actor, 200), "action": action, "object": clean(object_, 500), "detail": detail}
    conn.execute(audit.insert().values(at=now, **values))


def page(
    conn: Connection, *, top: int = 15, cursor: str | None = None, actor: str | None = None, action: str | None = None,
    object_: str | None = None, since: datetime | None = None,
) -> tuple[list[Entry], str | None]:  # fmt: skip
    """The newest first, and the cursor of the next page. Raises InvalidInput for a cursor that is none."""
    statement = select(audit).order_by(audit.c.number.desc()).limit(top + 1)
    if cursor:
        statement = statement.where(audit.c.number < place_of_cursor(cursor))
    for column, value in ((audit.c.actor, actor), (audit.c.action, action), (audit.c.object, object_)):
        if value is not None:
            statement = statement.where(column == value)
    if since is not None:
        statement = statement.where(audit.c.at >= since)
    found = [Entry(**row._asdict()) for row in conn.execute(statement)]
    return found[:top], str(found[top - 1].number) if len(found) > top else None


def about(conn: Connection, object_: str, *, actions: str) -> list[Entry]:
    """What was done to one thing, the oldest first, of the actions that begin so."""
    mine = (audit.c.object == object_, audit.c.action.startswith(actions, autoescape=True))
    return [Entry(**row._asdict()) for row in conn.execute(select(audit).where(*mine).order_by(audit.c.number))]


def prune(conn: Connection, *, now: datetime, keep: timedelta) -> int:
    """Forgets entries that are older. Returns how many."""
    return conn.execute(audit.delete().where(audit.c.at < now - keep)).rowcount
