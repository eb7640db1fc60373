"""What each task makes and what it stands on, as far as it is known, and which tasks are to be looked at again.

A task is marked in the transaction that changes it or ends a run of it; somebody looks at it later (`due`) and puts
down what was found (`put`). Must not know how that is found out, nor what an image is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from taskengine.service.store.rows import clean
from taskengine.service.store.tables import task_images, task_scans, watches


class Relation(Enum):
    """What an image is to a task. `UNWATCHED` images cannot tell of anything new, or are not to; `UNKNOWN` stands for a
    build of which nobody knows yet what it stands on, and `image` is its step then."""

    USES = "uses"
    MAKES = "makes"
    UNWATCHED = "unwatched"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskImage:
    """`image` is a full name with a tag, `kind` what a step needed it for. The digests are those that a run used last,
    the tag's and that of the platform's manifest; empty for not known. `reason` says why it is not watched."""

    task: str
    relation: Relation
    image: str
    platform: str = ""
    kind: str = ""
    digest: str = ""
    platform_digest: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """How well is known what a task stands on. `revision` is the task's when it was looked at, 0 for never. `watching`:
    a new image may start it. `marks` counts what there was to look at."""

    task: str
    revision: int
    watching: bool
    due: datetime | None
    marks: int
    scanned: datetime | None
    failures: int
    error: str


def mark(conn: Connection, task: str, *, now: datetime) -> None:
    """There is something new to look at: the task has changed, or a run of it is over. Nothing for a task that is not
    there any more."""
    values = {"due": now, "marks": task_scans.c.marks + 1}
    conn.execute(task_scans.update().where(task_scans.c.task == task).values(**values))


def begin(conn: Connection, task: str, *, now: datetime) -> None:
    """The task is new."""
    values: dict[str, Any] = {
        "task": task, "revision": 0, "watching": False, "due": now, "marks": 1, "failures": 0, "error": "",
    }  # fmt: skip
    conn.execute(task_scans.insert().values(**values))


def due(conn: Connection, *, now: datetime, most: int = 100) -> list[Scan]:
    """The tasks to look at, those first that wait longest."""
    found = select(task_scans).where(task_scans.c.due <= now).order_by(task_scans.c.due, task_scans.c.task)
    return [_scan(row) for row in conn.execute(found.limit(most))]


def scan_of(conn: Connection, task: str) -> Scan | None:
    row = conn.execute(select(task_scans).where(task_scans.c.task == task)).first()
    return None if row is None else _scan(row)


def scans(conn: Connection) -> dict[str, Scan]:
    """Of every task, by its name, in the order of names."""
    return {row.task: _scan(row) for row in conn.execute(select(task_scans).order_by(task_scans.c.task))}


def put(
    conn: Connection, before: Scan, images: Iterable[TaskImage], *, revision: int, watching: bool, now: datetime,
    error: str = "", again: datetime | None = None,
) -> bool:  # fmt: skip
    """What looking at a task has found, in place of all that was known of it. With `again` it is looked at once more
    then: something could not be read, as `error` says. False when the task is gone, and nothing was put down.

    A task that was marked since `before` is due at once: what was found may be of before that."""
    row = conn.execute(select(task_scans).where(task_scans.c.task == before.task).with_for_update()).first()
    if row is None:
        return False
    values: dict[str, Any] = {
        "revision": revision, "watching": watching, "scanned": now, "error": clean(error, 2000),
        "failures": before.failures + 1 if again else 0,
    }  # fmt: skip
    values["due"] = again if row.marks == before.marks else now
    conn.execute(task_scans.update().where(task_scans.c.task == before.task).values(**values))
    found = {(one.relation, one.image, one.platform): _values(one) for one in images}
    conn.execute(task_images.delete().where(task_images.c.task == before.task))
    if found:
        conn.execute(task_images.insert(), list(found.values()))
    if watching:
        _begin_watches(conn, sorted({key[1] for key in found if key[0] is Relation.USES}), now)
    return True


def failed(conn: Connection, before: Scan, error: str, *, again: datetime) -> None:
    """The task could not be looked at; what was known of it stays."""
    row = conn.execute(select(task_scans).where(task_scans.c.task == before.task).with_for_update()).first()
    if row is None:
        return
    values: dict[str, Any] = {"failures": row.failures + 1, "error": clean(error, 2000)}
    if row.marks == before.marks:
        values["due"] = again
    conn.execute(task_scans.update().where(task_scans.c.task == before.task).values(**values))


def of_task(conn: Connection, task: str) -> list[TaskImage]:
    """All that is known of a task, by relation and name."""
    found = select(task_images).where(task_images.c.task == task)
    return _read(conn, found.order_by(task_images.c.relation, task_images.c.image, task_images.c.platform))


def all_images(conn: Connection, *, watching: bool = True) -> list[TaskImage]:
    """What all tasks make and stand on, task by task; with `watching` only those that a new image may start."""
    found = select(task_images).order_by(task_images.c.task, task_images.c.relation, task_images.c.image)
    if watching:
        found = found.join(task_scans, task_scans.c.task == task_images.c.task).where(task_scans.c.watching)
    return _read(conn, found)


def users(conn: Connection, image: str) -> list[TaskImage]:
    """What the tasks that a new one of this image may start are known to use of it."""
    found = select(task_images).join(task_scans, task_scans.c.task == task_images.c.task)
    mine = (task_images.c.image == image, task_images.c.relation == Relation.USES.value, task_scans.c.watching)
    return _read(conn, found.where(*mine).order_by(task_images.c.task, task_images.c.platform))


def standing_on(conn: Connection, image: str) -> list[TaskImage]:
    """Every task that stands on this image, also those that it cannot start, or whose triggers leave it out."""
    relations = (Relation.USES.value, Relation.UNWATCHED.value)
    mine = (task_images.c.image == image, task_images.c.relation.in_(relations))
    return _read(conn, select(task_images).where(*mine).order_by(task_images.c.task, task_images.c.platform))


def made_by(conn: Connection, tasks: Iterable[str]) -> dict[str, list[str]]:
    """Which of these tasks make which images, by image."""
    found: dict[str, list[str]] = {}
    every = list(dict.fromkeys(tasks))
    for start in range(0, len(every), 500):
        mine = (task_images.c.task.in_(every[start : start + 500]), task_images.c.relation == Relation.MAKES.value)
        for one in _read(conn, select(task_images).where(*mine).order_by(task_images.c.image, task_images.c.task)):
            found.setdefault(one.image, []).append(one.task)
    return found


def _begin_watches(conn: Connection, images: Sequence[str], now: datetime) -> None:
    if not images:
        return
    values: list[dict[str, Any]] = [
        {
            "image": image, "seen": None, "changes": 0, "told_by": {}, "next_at": now, "failures": 0, "error": "",
            "created": now,
        }
        for image in images
    ]  # fmt: skip
    if conn.dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert

        conn.execute(insert(watches).on_conflict_do_nothing(), values)
    else:
        from sqlalchemy.dialects.postgresql import insert as insert_pg

        conn.execute(insert_pg(watches).on_conflict_do_nothing(), values)


def _values(one: TaskImage) -> dict[str, Any]:
    return {
        "task": one.task, "relation": one.relation.value, "image": clean(one.image, 500),
        "platform": clean(one.platform, 50), "kind": clean(one.kind, 20), "digest": clean(one.digest, 200),
        "platform_digest": clean(one.platform_digest, 200), "reason": clean(one.reason, 1000),
    }  # fmt: skip


def _read(conn: Connection, statement: Select[Any]) -> list[TaskImage]:
    return [
        TaskImage(
            task=row.task, relation=Relation(row.relation), image=row.image, platform=row.platform, kind=row.kind,
            digest=row.digest, platform_digest=row.platform_digest, reason=row.reason,
        )
        for row in conn.execute(statement)
    ]  # fmt: skip


def _scan(row: Row[Any]) -> Scan:
    return Scan(**{name: getattr(row, name) for name in Scan.__slots__})
