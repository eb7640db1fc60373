"""Keys under which asking again is harmless (Idempotency-Key), for what is asked of events. Must not know HTTP.

Those of runs are in queue.py. One table for all: a key that was used for one request is taken for every other one.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from taskengine.errors import Conflict
from taskengine.service.store.tables import idempotency

#: in place of a run's id; no run has such a one
_EVENT = "event-"


def first(conn: Connection, *, owner: str, key: str, fingerprint: str, event: int, now: datetime) -> bool:
    """Whether this key is new, and it is the caller's from now on; False when the same was asked before. No key is
    always new. Raises Conflict when it was used for another request."""
    if not key:
        return True
    values = {"owner": owner, "key": key, "fingerprint": fingerprint, "run": f"{_EVENT}{event}", "created": now}
    try:
        with conn.begin_nested():
            conn.execute(idempotency.insert().values(**values))
    except IntegrityError:
        mine = (idempotency.c.owner == owner, idempotency.c.key == key)
        if conn.execute(select(idempotency.c.fingerprint).where(*mine)).scalar() != fingerprint:
            raise Conflict(
                "this idempotency key was used for another request", hint="take a new key for a new request"
            ) from None
        return False
    return True


def prune(conn: Connection, *, before: datetime) -> None:
    """Forgets keys of events that are older."""
    old = (idempotency.c.created < before, idempotency.c.run.startswith(_EVENT, autoescape=True))
    conn.execute(idempotency.delete().where(*old))
