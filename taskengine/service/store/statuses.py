"""What forges are to be told of runs: written in the transaction that it tells of, sent later. Must not know HTTP.

A run's row says where: the newest of its causes with `statusTo` (a source trigger's name) and a commit. Of one commit
and task only the newest state is worth telling, so a newer one takes the place of those that still wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from taskengine.errors import NotFound
from taskengine.runs.model import RunStatus
from taskengine.service.store.rows import clean, place_of_cursor
from taskengine.service.store.tables import commit_statuses

#: how long after each failed attempt the next one is made; after the last, it is dead
PAUSES = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600))
_TOLD = {
    RunStatus.QUEUED: "queued", RunStatus.RUNNING: "running", RunStatus.SUCCEEDED: "succeeded",
    RunStatus.FAILED: "failed", RunStatus.TIMEOUT: "failed", RunStatus.CANCELED: "canceled", RunStatus.ERROR: "error",
}  # fmt: skip
_HIDDEN_FOR = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitStatus:
    """One telling. `told` is queued, running, succeeded, failed, canceled or error; `state` is waiting, delivered,
    superseded (a newer one was told in its place) or dead; `status` the forge's last answer. `source` names the task's
    trigger whose token is used."""

    number: int
    run: str
    task: str
    source: str
    repository: str
    commit_id: str
    told: str
    description: str
    state: str
    attempts: int
    next_at: datetime | None
    status: int
    error: str
    created: datetime
    done: datetime | None


def announce(conn: Connection, run: Row[Any], status: RunStatus, *, now: datetime, message: str = "") -> None:
    """Puts up what a run's change tells the forge, if the run came from there. `run` is its row from before it."""
    told = _TOLD.get(status)
    cause = next((one for one in run.cause if one.get("statusTo") and one.get("commitId")), None)
    if told is None or cause is None:
        return
    here = (commit_statuses.c.run == run.id, commit_statuses.c.told == told)
    if conn.execute(select(commit_statuses.c.number).where(*here)).first() is not None:
        return  # an attempt later; the forge was told
    commit = str(cause["commitId"])[:64]
    same = (commit_statuses.c.task == run.task, commit_statuses.c.commit_id == commit)
    old = commit_statuses.update().where(*same, commit_statuses.c.state == "waiting")
    conn.execute(old.values(state="superseded", next_at=None, done=now))
    conn.execute(
        commit_statuses.insert().values(
            run=run.id, task=run.task, source=str(cause["statusTo"])[:200],
            repository=str(cause.get("repositoryUrl") or "")[:2000], commit_id=commit, told=told,
            description=clean(message or told, 500), state="waiting", attempts=0, next_at=now, status=0, error="",
            created=now,
        )
    )  # fmt: skip


def due(conn: Connection, *, now: datetime, most: int = 20) -> list[CommitStatus]:
    """Those whose time has come, in the order of what they tell; report each with `told`."""
    waiting = (commit_statuses.c.state == "waiting", commit_statuses.c.next_at <= now)
    statement = select(commit_statuses).where(*waiting).order_by(commit_statuses.c.number).limit(most)
    rows = conn.execute(statement.with_for_update(skip_locked=True)).all()
    if rows:
        mine = commit_statuses.c.number.in_([row.number for row in rows])
        conn.execute(commit_statuses.update().where(mine).values(next_at=now + _HIDDEN_FOR))
    return [_status(row) for row in rows]


def told(
    conn: Connection, number: int, *, now: datetime, ok: bool, status: int = 0, error: str = "", wait: int = 0,
    final: bool = False,
) -> None:  # fmt: skip
    """How an attempt went: it is done, waits for the next one (for `wait` seconds at least), or is dead after the last
    one, and after one that is `final`."""
    row = conn.execute(select(commit_statuses).where(commit_statuses.c.number == number).with_for_update()).first()
    if row is None or row.state != "waiting":
        return
    values: dict[str, Any] = {"attempts": row.attempts + 1, "status": status, "error": clean(error, 1000)}
    if ok:
        values |= {"state": "delivered", "done": now, "next_at": None}
    elif not final and row.attempts < len(PAUSES):
        values |= {"next_at": now + max(PAUSES[row.attempts], timedelta(seconds=wait))}
    else:
        values |= {"state": "dead", "done": now, "next_at": None}
    conn.execute(commit_statuses.update().where(commit_statuses.c.number == number).values(**values))


def replay(conn: Connection, task: str, number: int, *, now: datetime) -> CommitStatus:
    """Tells it again from the first attempt on. Raises NotFound."""
    mine = (commit_statuses.c.task == task, commit_statuses.c.number == number)
    values = {"state": "waiting", "attempts": 0, "next_at": now, "error": "", "status": 0, "done": None}
    if not conn.execute(commit_statuses.update().where(*mine).values(**values)).rowcount:
        raise NotFound(f"the task {task} has no status {number}")
    return _status(conn.execute(select(commit_statuses).where(*mine)).one())


def page(
    conn: Connection, task: str, *, state: str | None = None, top: int = 15, cursor: str | None = None
) -> tuple[list[CommitStatus], str | None]:
    """A task's statuses, the newest first, and the cursor of the next page. Raises InvalidInput for a cursor that is
    none."""
    statement = select(commit_statuses).where(commit_statuses.c.task == task)
    statement = statement.order_by(commit_statuses.c.number.desc()).limit(top + 1)
    if state is not None:
        statement = statement.where(commit_statuses.c.state == state)
    if cursor:
        statement = statement.where(commit_statuses.c.number < place_of_cursor(cursor))
    found = [_status(row) for row in conn.execute(statement)]
    return found[:top], str(found[top - 1].number) if len(found) > top else None


def prune(conn: Connection, *, before: datetime) -> int:
    """Lets go of those that were over before. Returns how many went."""
    return conn.execute(commit_statuses.delete().where(commit_statuses.c.done < before)).rowcount


def _status(row: Row[Any]) -> CommitStatus:
    return CommitStatus(**{name: getattr(row, name) for name in CommitStatus.__slots__})
