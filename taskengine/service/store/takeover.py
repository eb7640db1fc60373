"""A run that waits and has not begun takes a further cause over, or the build of a newer one, instead of a second run.

Whether two of them mean the same build is the caller's to say. Must not know triggers.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, literal_column, select

from taskengine.runs.model import RunStatus
from taskengine.service.model import Document, Run, RunRequest
from taskengine.service.store import queue, secrets, standing
from taskengine.service.store.rows import run_of
from taskengine.service.store.tables import runs


def waiting_like(conn: Connection, request: RunRequest, *, now: datetime) -> list[Run]:
    """The runs of the request's task that wait and have never begun, and whose turn comes as the request's would; the
    newest first, and of very many only the newest. No worker gets one of them until this transaction ends."""
    queue.lock(conn)
    found = [run_of(row) for row in conn.execute(_WAITING, {"kind": standing.kind_of(request)})]
    timely = [run for run in found if run.not_before is None or run.not_before <= now]
    return sorted(timely, key=lambda run: -run.number)


_c = runs.c
_MOST = 10  # a crowd of waiting runs must not make each further one slower to queue
# the task is a part of the kind. Nothing else is said of them, so that the index of those that wait, by kind, is used,
# and gives them in its own order
_WAITING = (
    select(runs)
    .where(
        _c.status == literal_column(f"'{RunStatus.QUEUED.value}'"),  # in so many words, as the index has it
        _c.kind == bindparam("kind"),
        _c.attempt == 1,
        _c.cancel_reason == "",
    )
    .order_by(_c.priority.desc(), _c.number.desc())
    .limit(_MOST)
    .with_for_update()
)


def add_causes(conn: Connection, run: str, causes: Iterable[Document], *, now: datetime) -> None:
    """Further causes of a run, before those that it has; nothing for one that is not there."""
    row = conn.execute(select(runs.c.cause).where(runs.c.id == run).with_for_update()).first()
    if row is not None:
        values = {"cause": [*causes, *row.cause], "updated": now}
        conn.execute(runs.update().where(runs.c.id == run).values(**values))


def rebuild_as(conn: Connection, box: secrets.SecretBox, run: Run, request: RunRequest, *, now: datetime) -> None:
    """A waiting run carries out another request of its task; the request's causes come before its own."""
    values = {
        "spec": request.spec, "timeout": request.timeout, "priority": max(run.priority, request.priority),
        "cause": [*request.cause, *run.cause], "updated": now,
    }  # fmt: skip
    conn.execute(runs.update().where(runs.c.id == run.id).values(**values))
    secrets.put(conn, box, "run", run.id, request.secrets, now=now, replace=True)
