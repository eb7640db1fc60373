"""Stored tasks. Must not know what a task's document means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from taskengine.errors import Conflict, NotFound
from taskengine.service.model import Document, Task
from taskengine.service.store import taskimages
from taskengine.service.store.database import Database
from taskengine.service.store.rows import task_of
from taskengine.service.store.tables import secrets, tasks


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPage:
    """`cursor` begins the next page; None on the last one."""

    tasks: tuple[Task, ...]
    cursor: str | None


def create(conn: Connection, name: str, document: Document, *, owner: str, now: datetime, enabled: bool = True) -> Task:
    """Raises Conflict when there is one of this name."""
    if _row(conn, name) is not None:
        raise Conflict(f"there is a task {name} already", hint="update it, or take another name")
    values: dict[str, Any] = {
        "name": name, "document": document, "revision": 1, "enabled": enabled, "owner": owner, "created": now,
        "updated": now,
    }  # fmt: skip
    from sqlalchemy.exc import IntegrityError

    try:
        with conn.begin_nested():
            conn.execute(tasks.insert().values(**values))
            taskimages.begin(conn, name, now=now)
    except IntegrityError as error:
        raise Conflict(f"there is a task {name} already", hint="update it, or take another name") from error
    return Task(**values)


def get(conn: Connection, name: str) -> Task:
    """Raises NotFound."""
    row = _row(conn, name)
    if row is None:
        raise NotFound(f"there is no task {name}", hint="acr-task task list shows them")
    return task_of(row)


def page(
    conn: Connection, *, top: int = 15, cursor: str | None = None, scopes: Sequence[str] = (), owner: str | None = None
) -> TaskPage:
    """By name. `scopes` are patterns (`*` and `?`) of which a name must match one; none means all."""
    statement = select(tasks).order_by(tasks.c.name).limit(top + 1)
    if cursor:
        statement = statement.where(tasks.c.name > cursor)
    if owner is not None:
        statement = statement.where(tasks.c.owner == owner)
    if scopes:
        statement = statement.where(matches(conn, tasks.c.name, scopes))
    found = [task_of(row) for row in conn.execute(statement)]
    return TaskPage(tasks=tuple(found[:top]), cursor=found[top - 1].name if len(found) > top else None)


def each(database: Database) -> Iterator[Task]:
    """All tasks, by name, a hundred at a time."""
    cursor = None
    while True:
        with database.read() as conn:
            found = page(conn, top=100, cursor=cursor)
        yield from found.tasks
        if not (cursor := found.cursor):
            return


def mark(conn: Connection) -> tuple[int, int, datetime | None]:
    """What is another one after any task was made, changed or removed."""
    columns = (func.count(), func.coalesce(func.sum(tasks.c.revision), 0), func.max(tasks.c.updated))
    count, revisions, updated = conn.execute(select(*columns)).one()
    return int(count), int(revisions), updated


def replace(
    conn: Connection, name: str, document: Document, *, now: datetime, revision: int | None = None,
    enabled: bool | None = None, owner: str | None = None,
) -> Task:  # fmt: skip
    """A new document in place of the old one. With `revision`, raises Conflict when the task has changed since it;
    raises NotFound."""
    before = get(conn, name)
    if revision is not None and revision != before.revision:
        raise _stale(name, before.revision)
    values: dict[str, Any] = {"document": document, "revision": before.revision + 1, "updated": now}
    if enabled is not None:
        values["enabled"] = enabled
    if owner is not None:
        values["owner"] = owner
    same = (tasks.c.name == name, tasks.c.revision == before.revision)
    if not conn.execute(tasks.update().where(*same).values(**values)).rowcount:
        raise _stale(name, before.revision)
    taskimages.mark(conn, name, now=now)
    return get(conn, name)


def merged(document: Any, patch: Any) -> Any:
    """Changes what `patch` names, by JSON Merge Patch (RFC 7396): null takes away, lists are replaced whole."""
    if not isinstance(patch, dict):
        return patch
    found = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


def delete(conn: Connection, name: str, *, revision: int | None = None) -> None:
    """With its secrets; its runs stay. Raises NotFound, and Conflict as `replace` does."""
    before = get(conn, name)
    if revision is not None and revision != before.revision:
        raise _stale(name, before.revision)
    conn.execute(secrets.delete().where(secrets.c.kind == "task", secrets.c.owner == name))
    conn.execute(tasks.delete().where(tasks.c.name == name))


def matches(conn: Connection, column: ColumnElement[str], patterns: Sequence[str]) -> ColumnElement[bool]:
    """A condition: the column matches one of the patterns, in which `*` is any text and `?` any character."""
    if conn.dialect.name == "sqlite":  # whose LIKE does not tell upper case from lower, and finds no index
        return or_(*(column.op("GLOB", is_comparison=True)(pattern.replace("[", "[[]")) for pattern in patterns))
    return or_(*(column.like(_like(pattern), escape="\\") for pattern in patterns))


def _like(pattern: str) -> str:
    for char in "\\%_":
        pattern = pattern.replace(char, "\\" + char)
    return pattern.replace("*", "%").replace("?", "_")


def _row(conn: Connection, name: str) -> Any:
    return conn.execute(select(tasks).where(tasks.c.name == name)).first()


def _stale(name: str, revision: int) -> Conflict:
    return Conflict(
        f"task {name} has changed meanwhile: it is at revision {revision}", hint="read it again, then change it"
    )
