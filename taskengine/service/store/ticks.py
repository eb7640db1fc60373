"""How far timers have been looked after, and at which instants they fired. Must not know schedules."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from taskengine.service.store.tables import timers, timers_fired


def seen(conn: Connection, task: str, name: str) -> tuple[str, datetime] | None:
    """The schedule that a timer had, and the moment up to which it was looked after; None for a new one."""
    row = conn.execute(select(timers).where(timers.c.task == task, timers.c.name == name)).first()
    return None if row is None else (row.schedule, row.seen)


def advance(conn: Connection, task: str, name: str, schedule: str, now: datetime) -> None:
    """The timer is looked after up to now."""
    mine = (timers.c.task == task, timers.c.name == name)
    if conn.execute(timers.update().where(*mine).values(schedule=schedule, seen=now)).rowcount:
        return
    try:
        with conn.begin_nested():
            conn.execute(timers.insert().values(task=task, name=name, schedule=schedule, seen=now))
    except IntegrityError:
        pass  # another service was first, at about the same moment


def fire(conn: Connection, task: str, name: str, instant: datetime, now: datetime) -> bool:
    """Whether this instant of the timer is the caller's, and nobody had it before."""
    try:
        with conn.begin_nested():
            conn.execute(timers_fired.insert().values(task=task, name=name, instant=instant, at=now, run=""))
    except IntegrityError:
        return False
    return True


def fired(conn: Connection, task: str, name: str, instant: datetime) -> str | None:
    """The run of an instant that has fired, empty when it led to none; None for one that has not fired."""
    mine = (timers_fired.c.task == task, timers_fired.c.name == name, timers_fired.c.instant == instant)
    return conn.execute(select(timers_fired.c.run).where(*mine)).scalar()


def led_to(conn: Connection, task: str, name: str, instant: datetime, run: str) -> None:
    """The run that the instant led to."""
    mine = (timers_fired.c.task == task, timers_fired.c.name == name, timers_fired.c.instant == instant)
    conn.execute(timers_fired.update().where(*mine).values(run=run))
