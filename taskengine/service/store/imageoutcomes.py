"""What became of an image's event, task by task: many at once, and told again while a wave goes on.

Beside `ledger`, which works on one outcome at a time. Must not know waves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from taskengine.service.model import Document
from taskengine.service.store.ledger import digest
from taskengine.service.store.rows import clean
from taskengine.service.store.tables import event_outcomes, events

_c = event_outcomes.c


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageOutcome:
    """`state` is queued, waiting or ignored."""

    task: str
    state: str
    reason: str
    run: str = ""


def put(conn: Connection, event: int, found: Iterable[ImageOutcome], *, facts: Document, now: datetime) -> None:
    """The outcomes of an event that is held. Each can be told again by `tell`."""
    rows = [
        {
            "event": event, "task": one.task, "key": digest(_key(event, one.task)), "state": one.state,
            "reason": clean(one.reason, 2000), "run": one.run, "facts": dict(facts), "at": now,
        }
        for one in found
    ]  # fmt: skip
    if rows:
        conn.execute(event_outcomes.insert(), rows)


def tell(conn: Connection, numbers: Sequence[int], found: Iterable[ImageOutcome]) -> None:
    """What these have come to since, for each of the events that has such an outcome. One of an event that was replayed
    since stays as it was."""
    rows = [
        {"k": digest(_key(number, one.task)), "s": one.state, "r": clean(one.reason, 2000), "n": one.run}
        for one in found
        for number in numbers
    ]
    if rows:
        conn.execute(_TELL, rows)


def was_replayed(conn: Connection, event: int) -> bool:
    """Whether the event led to something before, and shall do so again."""
    mine = (_c.event == event, _c.key.is_(None))
    return conn.execute(select(_c.number).where(*mine).limit(1)).first() is not None


def postpone(conn: Connection, event: int, *, until: datetime, reason: str) -> None:
    """The event is not worked on before then, and not because it failed."""
    values = {"next_at": until, "reason": clean(reason, 2000)}
    conn.execute(events.update().where(events.c.number == event, events.c.state == "received").values(**values))


def wake(conn: Connection, numbers: Iterable[int], *, now: datetime) -> None:
    """Events that wait are worked on at once."""
    mine = (events.c.number.in_(list(numbers)), events.c.state == "received")
    conn.execute(events.update().where(*mine).values(next_at=now))


def waiting(conn: Connection, sources: Iterable[str], *, after: datetime) -> list[int]:
    """Events of these sources that are not to be worked on before some time after `after`."""
    mine = (events.c.state == "received", events.c.next_at > after, events.c.source.in_(list(sources)))
    return list(conn.execute(select(events.c.number).where(*mine)).scalars())


def _key(event: int, task: str) -> str:
    # every change of a tag is an event of its own: who moved what was seen of it, made it
    return f"image:{event}:{task}"


_TELL = (
    event_outcomes.update()
    .where(_c.key == bindparam("k"))
    .values(state=bindparam("s"), reason=bindparam("r"), run=bindparam("n"))
)
