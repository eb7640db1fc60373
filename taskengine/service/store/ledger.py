"""Events from outside, as they came, and what became of each. Must not know what an event says.

An event is recorded before anybody is told that it arrived. It is worked on later, by whoever takes it (`due`), in a
transaction that also holds what it led to. Two things keep it from counting twice: its sender's number of the delivery,
and a key of its content, which only one outcome can have.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets as random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, or_, select, union
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from taskengine.errors import Conflict, NotFound
from taskengine.service.model import Document
from taskengine.service.store.rows import clean, place_of_cursor
from taskengine.service.store.tables import event_outcomes, events, timers_fired
from taskengine.service.store.tasks import matches

#: how long after each failure an event is tried again; after the last it has failed
PAUSES = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800))
#: a body of more bytes is kept packed; one that begins like a packed one, too, so that none is taken for another
_PACKED_FROM = 16 << 10
_PACKED = b"\0zlib\0"
_MOST_REFUSED = 100
#: while one service works on an event, no other does; should that one die, another waits so long
_HIDDEN_FOR = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What an event led to for one task. `facts` is plain data about it, for people."""

    task: str
    state: str
    reason: str
    run: str = ""
    facts: Document = field(default_factory=dict)
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """`source` says by which door it came (`github`, `git`), `task` for whom, empty for nobody in particular. `state`
    is received (to be worked on), queued (led to a run), waiting (for a person), noted (a registry is asked because of
    it), ignored (led to nothing), failed, or refused: nobody proved to be its sender, so there is no body, and
    `attempts` says how often it came."""

    number: int
    source: str
    task: str
    delivery: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    received: datetime
    state: str
    reason: str
    attempts: int
    done: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """Which events; what is None or empty leaves out none. `task` and the patterns of `scopes` fit an event that came
    for such a task, and one that led to something for it. `since` and `until` bound when it came."""

    state: str | None = None
    task: str | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """An event that is to be kept. An empty `delivery` is like no other."""

    source: str
    task: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    delivery: str = ""


# statements are made once, because to make one costs more than to carry it out
_HOLD = select(events.c.state).where(events.c.number == bindparam("wanted")).with_for_update()
_SETTLE = (
    events.update()
    .where(events.c.number == bindparam("wanted"))
    .values({name: bindparam(name) for name in ("state", "reason", "done", "next_at")})
)
_CONCLUDE = (
    event_outcomes.update()
    .where(event_outcomes.c.number == bindparam("wanted"))
    .values({name: bindparam(name) for name in ("state", "reason", "run")})
)
_CLAIM: Mapping[str, Any] = {
    "sqlite": sqlite_insert(event_outcomes)
    .on_conflict_do_nothing(index_elements=["key"])
    .returning(event_outcomes.c.number),
    "postgresql": postgresql_insert(event_outcomes)
    .on_conflict_do_nothing(index_elements=["key"])
    .returning(event_outcomes.c.number),
}
_NAME = ("source", "task", "delivery")
_NEWEST = select(func.max(events.c.number))
_SINCE = select(*(events.c[name] for name in ("number", *_NAME))).where(events.c.number > bindparam("newest"))
_NUMBER = select(events.c.number).where(*(events.c[name] == bindparam(name) for name in _NAME))
_KEEP: Mapping[str, Any] = {
    "sqlite": sqlite_insert(events).on_conflict_do_nothing(index_elements=_NAME),
    "postgresql": postgresql_insert(events).on_conflict_do_nothing(index_elements=_NAME),
}


def record(
    conn: Connection, *, source: str, task: str, headers: Mapping[str, str], body: bytes, now: datetime,
    delivery: str = "",
) -> tuple[Event, bool]:  # fmt: skip
    """Keeps an event; the second value is False when this delivery is known, and the event is that one. An empty
    `delivery` is like no other."""
    delivery = clean(delivery, 200) or f"own-{random.token_hex(12)}"
    values: dict[str, Any] = {
        "source": source, "task": clean(task, 200), "delivery": delivery, "headers": dict(headers),
        "body": _packed(body), "received": now, "state": "received", "reason": "", "attempts": 0, "next_at": now,
    }  # fmt: skip
    mine = (events.c.source == source, events.c.task == values["task"], events.c.delivery == delivery)
    try:
        with conn.begin_nested():
            conn.execute(events.insert().values(**values))
        new = True
    except IntegrityError:
        new = False
    return _event(conn.execute(select(events).where(*mine)).one()), new


def record_all(conn: Connection, arrived: Sequence[Arrival], *, now: datetime) -> list[tuple[int, bool]]:
    """Keeps many at once, in three statements however many they are; for each, in order, what `record` says: the
    event's number, and whether it is new."""
    rows = [
        {
            "source": one.source, "task": clean(one.task, 200),
            "delivery": clean(one.delivery, 200) or f"own-{random.token_hex(12)}", "headers": dict(one.headers),
            "body": _packed(one.body), "received": now, "state": "received", "reason": "", "attempts": 0,
            "next_at": now,
        }
        for one in arrived
    ]  # fmt: skip
    newest = conn.execute(_NEWEST).scalar() or 0
    conn.execute(_KEEP[conn.dialect.name], rows)
    names = [(row["source"], row["task"], row["delivery"]) for row in rows]
    found = {(row.source, row.task, row.delivery): row.number for row in conn.execute(_SINCE, {"newest": newest})}
    answers: list[tuple[int, bool]] = []
    told: set[tuple[Any, ...]] = set()
    for name in names:
        new = name in found and name not in told
        told.add(name)
        number = found.get(name) or conn.execute(_NUMBER, dict(zip(_NAME, name, strict=True))).scalar_one()
        answers.append((number, new))
    return answers


def refused(
    conn: Connection, *, source: str, task: str, why: str, times: int, headers: Mapping[str, str], now: datetime
) -> None:
    """Notes deliveries that were not believed: one event for a source and a task, however many came, and the newest
    hundred of them, so that a stranger fills no disk. Their bodies are not kept."""
    values: dict[str, Any] = {"received": now, "done": now, "reason": clean(why, 2000), "headers": dict(headers)}
    mine = (events.c.source == source, events.c.task == clean(task, 200), events.c.delivery == "refused")
    again = events.update().where(*mine).values(attempts=events.c.attempts + times, **values)
    if conn.execute(again).rowcount:
        return
    new = {"source": source, "task": clean(task, 200), "delivery": "refused", "body": b"", "state": "refused"}
    with contextlib.suppress(IntegrityError), conn.begin_nested():  # another service was first: it counts its own
        conn.execute(events.insert().values(**new, **values, attempts=times, next_at=None))
    newest = select(events.c.number).where(events.c.state == "refused").order_by(events.c.received.desc())
    kept = conn.execute(newest.limit(_MOST_REFUSED)).scalars().all()
    conn.execute(events.delete().where(events.c.state == "refused", events.c.number.not_in(kept)))


def due(conn: Connection, *, now: datetime, most: int = 20) -> list[Event]:
    """Events to be worked on, the oldest first; nobody else gets them for some seconds."""
    statement = select(events).where(events.c.state == "received", events.c.next_at <= now)
    statement = statement.order_by(events.c.next_at, events.c.number).limit(most)
    rows = conn.execute(statement.with_for_update(skip_locked=True)).all()
    if rows:
        mine = events.c.number.in_([row.number for row in rows])
        conn.execute(events.update().where(mine).values(next_at=now + _HIDDEN_FOR))
    return [_event(row) for row in rows]


def hold(conn: Connection, number: int) -> bool:
    """Whether the event is still to be worked on. Until this transaction ends, nobody else changes it."""
    return conn.execute(_HOLD, {"wanted": number}).scalar() == "received"


def settle(conn: Connection, number: int, state: str, reason: str, *, now: datetime) -> None:
    """The event is done."""
    values = {"state": state, "reason": clean(reason, 2000), "done": now, "next_at": None}
    conn.execute(_SETTLE, {"wanted": number, **values})


def failed(conn: Connection, number: int, reason: str, *, now: datetime) -> str:
    """Working on it went wrong: it is tried again later, and has failed after the last time. Returns its state."""
    row = conn.execute(select(events).where(events.c.number == number).with_for_update()).first()
    if row is None or row.state != "received":
        return "" if row is None else str(row.state)
    if row.attempts >= len(PAUSES):
        settle(conn, number, "failed", reason, now=now)
        return "failed"
    values = {"attempts": row.attempts + 1, "next_at": now + PAUSES[row.attempts], "reason": clean(reason, 2000)}
    conn.execute(events.update().where(events.c.number == number).values(**values))
    return "received"


def claim(conn: Connection, event: int, *, task: str, key: str, facts: Document, now: datetime) -> tuple[int, str]:
    """The number of a new outcome that holds this content key from now on; or 0 and, in words, who had it before."""
    values: dict[str, Any] = {
        "event": event, "task": task, "key": digest(key), "content": digest(key), "state": "waiting", "reason": "",
        "run": "", "facts": dict(facts), "at": now,
    }  # fmt: skip
    made = conn.execute(_CLAIM[conn.dialect.name], values).scalar()
    if made is not None:
        return int(made), ""
    return 0, told_before(conn, key)


def told_again(conn: Connection, event: int, task: str) -> list[tuple[int, str, datetime]]:
    """Other events that told a task of the same content: their numbers, by which door they came, and when; in order."""
    mine = select(event_outcomes.c.content).where(event_outcomes.c.event == event, event_outcomes.c.task == task)
    found = (
        select(events.c.number, events.c.source, events.c.received)
        .join(event_outcomes, event_outcomes.c.event == events.c.number)
        .where(event_outcomes.c.content.in_(mine), event_outcomes.c.task == task, events.c.number != event)
    )
    return [(row.number, row.source, row.received) for row in conn.execute(found.distinct().order_by(events.c.number))]


def told_before(conn: Connection, key: str) -> str:
    """Which event holds this content key, in words; empty when none does."""
    row = conn.execute(select(event_outcomes).where(event_outcomes.c.key == digest(key))).first()
    if row is None:
        return ""
    return f"event {row.event} told of it before: " + (f"it was queued as {row.run}" if row.run else row.reason)


def conclude(conn: Connection, outcome: int, state: str, reason: str, *, run: str = "") -> None:
    """What a claimed outcome came to."""
    values = {"state": state, "reason": clean(reason, 2000), "run": run}
    conn.execute(_CONCLUDE, {"wanted": outcome, **values})


def note(
    conn: Connection, event: int, *, task: str, state: str, reason: str, facts: Document, now: datetime, key: str = ""
) -> None:
    """An outcome that starts nothing. `key` is that of its content, which others may still claim."""
    values = {"event": event, "task": task, "state": state, "reason": clean(reason, 2000), "run": "", "at": now}
    content = digest(key) if key else None
    conn.execute(event_outcomes.insert().values(**values, facts=dict(facts), content=content))


def is_known(conn: Connection, key: str) -> bool:
    """Whether any event has told of this content, whatever it led to."""
    return (
        conn.execute(select(event_outcomes.c.number).where(event_outcomes.c.content == digest(key))).first() is not None
    )


def last_told(conn: Connection, tasks: Sequence[str], sources: Sequence[str]) -> datetime | None:
    """When one of these sources told one of these tasks something last."""
    mine = (events.c.task.in_(list(tasks)), events.c.source.in_(list(sources)), events.c.state != "refused")
    found: datetime | None = conn.execute(select(func.max(events.c.received)).where(*mine)).scalar()
    return found


def get(conn: Connection, number: int) -> Event:
    """Raises NotFound."""
    row = conn.execute(select(events).where(events.c.number == number)).first()
    if row is None:
        raise absent(number)
    return _event(row)


def absent(number: int) -> NotFound:
    """The error for an event that is not there, or not for the caller."""
    return NotFound(f"there is no event {number}", hint="acr-task events list shows them; they are kept for 30 days")


def outcomes(conn: Connection, number: int) -> list[Outcome]:
    """What came of an event, in order."""
    found = select(event_outcomes).where(event_outcomes.c.event == number).order_by(event_outcomes.c.number)
    return [
        Outcome(task=row.task, state=row.state, reason=row.reason, run=row.run, facts=row.facts, at=row.at)
        for row in conn.execute(found)
    ]


def waiting(conn: Connection, number: int) -> list[tuple[int, str]]:
    """What of an event waits for a person: the numbers of the outcomes, and the digests of their content keys. Until
    this transaction ends, nobody else decides about it."""
    conn.execute(select(events.c.number).where(events.c.number == number).with_for_update())
    mine = (event_outcomes.c.event == number, event_outcomes.c.state == "waiting")
    found = select(event_outcomes.c.number, event_outcomes.c.key).where(*mine).order_by(event_outcomes.c.number)
    return [(row.number, row.key or "") for row in conn.execute(found)]


def page(
    conn: Connection, wanted: Wanted = Wanted(), *, top: int = 15, cursor: str | None = None,
) -> tuple[list[Event], str | None]:  # fmt: skip
    """The newest first, without their bodies, and the cursor of the next page. Raises InvalidInput for a cursor that is
    none."""
    statement = (
        select(*(column for column in events.c if column.name != "body"))
        .order_by(events.c.number.desc())
        .limit(top + 1)
    )
    for column, value in ((events.c.state, wanted.state), (events.c.source, wanted.source)):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.task is not None:
        came = select(events.c.number).where(events.c.task == wanted.task)
        led = select(event_outcomes.c.event).where(event_outcomes.c.task == wanted.task)
        statement = statement.where(events.c.number.in_(union(came, led)))
    if wanted.since is not None:
        statement = statement.where(events.c.received >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(events.c.received <= wanted.until)
    if wanted.scopes:
        of_one = matches(conn, event_outcomes.c.task, wanted.scopes)
        led_to = select(event_outcomes.c.number).where(event_outcomes.c.event == events.c.number, of_one).exists()
        statement = statement.where(or_(matches(conn, events.c.task, wanted.scopes), led_to))
    if cursor:
        statement = statement.where(events.c.number < place_of_cursor(cursor))
    found = [_event(row) for row in conn.execute(statement)]
    return found[:top], str(found[top - 1].number) if len(found) > top else None


def replay(conn: Connection, number: int, *, now: datetime) -> Event:
    """Works on it again as if it had just come, and lets it start again what it started. Raises NotFound, and Conflict
    while it is still to be worked on."""
    match get(conn, number).state:
        case "received":
            raise Conflict(f"event {number} is still to be worked on", hint="wait until it is done")
        case "refused":
            raise Conflict(
                f"event {number} was not believed, and its body not kept", hint="let its sender send it again"
            )
    conn.execute(event_outcomes.update().where(event_outcomes.c.event == number).values(key=None))
    values = {"state": "received", "reason": "", "attempts": 0, "next_at": now, "done": None}
    conn.execute(events.update().where(events.c.number == number).values(**values))
    return get(conn, number)


def prune(conn: Connection, *, before: datetime) -> int:
    """Lets go of events that were done before, and of timers' old instants. Returns how many events went."""
    conn.execute(timers_fired.delete().where(timers_fired.c.at < before))
    return conn.execute(events.delete().where(events.c.done < before)).rowcount


def digest(key: str) -> str:
    """A content key of any length, as it is kept."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _packed(body: bytes) -> bytes:
    is_large = len(body) > _PACKED_FROM
    return _PACKED + zlib.compress(body, 6) if is_large or body.startswith(_PACKED) else body


def _unpacked(body: bytes) -> bytes:
    return zlib.decompress(body.removeprefix(_PACKED)) if body.startswith(_PACKED) else body


def _event(row: Row[Any]) -> Event:
    found: dict[str, Any] = {name: getattr(row, name, b"") for name in Event.__slots__}
    return Event(**found | {"body": _unpacked(bytes(found["body"]))})
