"""Periodic duties that only one of several services does at a time. Must not know what they are."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, or_, select
from sqlalchemy.exc import IntegrityError

from taskengine.service.store.tables import duties


def release(conn: Connection, name: str, holder: str) -> None:
    """The duty is nobody's from now on, if it was `holder`'s."""
    conn.execute(duties.delete().where(duties.c.name == name, duties.c.holder == holder))


def take(conn: Connection, name: str, holder: str, *, now: datetime, term: timedelta) -> bool:
    """Whether the duty is `holder`'s until `now + term`: it was its own before, or nobody's, or its holder is silent.
    One that ends far beyond a term is of a clock that went wrong, and nobody's."""
    free = or_(duties.c.holder == holder, duties.c.until <= now, duties.c.until > now + term * 10)
    values = {"holder": holder, "until": now + term}
    if conn.execute(duties.update().where(duties.c.name == name, free).values(**values)).rowcount:
        return True
    if conn.execute(select(duties.c.name).where(duties.c.name == name)).first() is not None:
        return False
    try:
        with conn.begin_nested():
            conn.execute(duties.insert().values(name=name, **values))
    except IntegrityError:
        return False  # another service was first
    return True
