"""The distinct images that tasks stand on: what each tag stood for last, and when its registry is asked again.

Who moves `seen` says which number of changes it read (`settle`): of two that saw the same news, one is told that it was
the first, and its transaction is where the news goes into the ledger. Must not know registries, nor how often to ask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, case, exists, func, select

from taskengine.errors import NotFound
from taskengine.service.model import Document
from taskengine.service.store.rows import clean
from taskengine.service.store.tables import task_images, task_scans, watches
from taskengine.service.store.taskimages import Relation
from taskengine.service.store.tasks import matches

#: what may come of a notice
NOT_WATCHED, KNOWN, ASKED = "no task watches it", "it is known already", "its registry is asked at once"
#: who may tell of a push: a registry, or a run of our own
REGISTRY, OWN = "registry", "own"


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """`seen` is what the tag stood for, as plain data, None before the first check. `changes` counts how often it stood
    for something new. `told` is its registry's last notice of a push, and `told_by` whose notice is still to be looked
    into.     `tasks` is how many stand on it and may be started by it."""

    image: str
    seen: Document | None
    changes: int
    checked: datetime | None
    changed: datetime | None
    told: datetime | None
    told_by: Document
    next_at: datetime
    failures: int
    error: str
    created: datetime
    tasks: int = 0


def due(conn: Connection, *, now: datetime, resting: Iterable[str] = (), most: int = 1000) -> list[Watch]:
    """The images to ask about, those first that somebody told of, then those that wait longest; none of the registries
    that are left alone for now."""
    statement = select(watches).where(watches.c.next_at <= now, _is_used())
    for registry in resting:
        statement = statement.where(watches.c.image.not_like(_begins(registry), escape="\\"))
    is_told = watches.c.told_by == {}  # what was told of goes before what is to be asked about now and then
    order = (is_told, watches.c.next_at, watches.c.image)
    return [_watch(row) for row in conn.execute(statement.order_by(*order).limit(most))]


def get(conn: Connection, image: str) -> Watch:
    """Raises NotFound."""
    row = conn.execute(_counted().where(watches.c.image == image)).first()
    if row is None:
        raise NotFound(f"no task watches {image[:200]}", hint="acr-task watches list shows the names")
    return _watch(row)


def notice(conn: Connection, image: str, *, by: Document, digest: str, now: datetime) -> str:
    """Somebody told of a push: the image is due at once, unless it is known to stand for that digest. `digest` may be
    empty. `by` says whose notice it is, in `kind`: only a registry's shows that notifications of it work. Returns what
    comes of it, in words."""
    row = conn.execute(select(watches).where(watches.c.image == image).with_for_update()).first()
    if row is None:
        return NOT_WATCHED
    told = {"told": now} if by.get("kind") == REGISTRY else {}
    is_known = bool(digest) and row.seen is not None and row.seen.get("digest") == digest
    values: dict[str, Any] = told if is_known else {**told, "told_by": dict(by), "next_at": now}
    if values:
        conn.execute(watches.update().where(watches.c.image == image).values(**values))
    return KNOWN if is_known else ASKED


def hasten(conn: Connection, image: str, *, now: datetime, scopes: Sequence[str] = ()) -> bool:
    """Somebody wants to know now: the image is due. False when no task watches it, or none that `scopes` fit."""
    only = (matches(conn, task_images.c.task, scopes),) if scopes else ()
    mine = watches.update().where(watches.c.image == image, _is_used(*only))
    return bool(conn.execute(mine.values(next_at=now)).rowcount)


def settle(
    conn: Connection, before: Watch, *, seen: Document | None, checked: datetime | None, changed: datetime | None,
    next_at: datetime, failures: int, error: str,
) -> bool:  # fmt: skip
    """What a check has found. False when somebody else has found it meanwhile, or nobody wants to know it any more:
    then nothing is written. A notice that came during the check stays to be looked into."""
    row = conn.execute(select(watches).where(watches.c.image == before.image).with_for_update()).first()
    if row is None or row.changes != before.changes:
        return False
    is_news = seen != before.seen
    values: dict[str, Any] = {
        "seen": seen, "checked": checked, "changed": changed, "failures": failures, "error": clean(error, 2000),
        "changes": row.changes + is_news,
    }  # fmt: skip
    if (row.next_at, row.told_by) == (before.next_at, before.told_by):
        values["next_at"] = next_at
        if not failures:
            values["told_by"] = {}
    conn.execute(watches.update().where(watches.c.image == before.image).values(**values))
    return True


def prune(conn: Connection) -> int:
    """Images that no task stands on any more are forgotten. Returns how many."""
    return conn.execute(watches.delete().where(~_is_used())).rowcount


def page(
    conn: Connection, *, top: int = 15, cursor: str | None = None, failing: bool = False, task: str | None = None,
    scopes: Sequence[str] = (),
) -> tuple[list[Watch], str | None]:  # fmt: skip
    """By name, and the cursor of the next page. With `failing` only those whose last check failed. `task`, and the
    patterns of `scopes`, leave those that such a task stands on; only these tasks are counted then."""
    only = () if task is None else (task_images.c.task == task,)
    if scopes:
        only = (*only, matches(conn, task_images.c.task, scopes))
    statement = _counted(*only).where(_is_used(*only)).order_by(watches.c.image).limit(top + 1)
    if failing:
        statement = statement.where(watches.c.failures > 0)
    if cursor:
        statement = statement.where(watches.c.image > cursor)
    found = [_watch(row) for row in conn.execute(statement)]
    return found[:top], found[top - 1].image if len(found) > top else None


def count(conn: Connection) -> tuple[dict[str, int], datetime | None]:
    """How many images are `ok`, `failing` or `unchecked`, and when the one was asked about that waits longest."""
    failing, unchecked = watches.c.failures > 0, watches.c.checked.is_(None)
    how = case((failing, "failing"), (unchecked, "unchecked"), else_="ok")
    found = {row[0]: row[1] for row in conn.execute(select(how, func.count()).where(_is_used()).group_by(how))}
    return found, conn.execute(select(func.min(watches.c.checked)).where(_is_used())).scalar()


def of_images(conn: Connection, images: Iterable[str]) -> dict[str, Watch]:
    """What is known of these, by name; nothing for an image that is not watched."""
    statement = _counted().where(watches.c.image.in_(sorted(set(images))))
    return {row.image: _watch(row) for row in conn.execute(statement)}


def _is_used(*only: Any) -> Any:
    return exists(select(1).select_from(_USES).where(*_MINE, *only))


def _counted(*only: Any) -> Select[Any]:
    number = select(func.count(task_images.c.task.distinct())).select_from(_USES).where(*_MINE, *only)
    return select(watches, number.correlate(watches).scalar_subquery().label("tasks"))


_USES = task_images.join(task_scans, and_(task_scans.c.task == task_images.c.task, task_scans.c.watching))
_MINE = (task_images.c.image == watches.c.image, task_images.c.relation == Relation.USES.value)


def _begins(registry: str) -> str:
    for char in "\\%_":
        registry = registry.replace(char, "\\" + char)
    return f"{registry}/%"


def _watch(row: Row[Any]) -> Watch:
    known: dict[str, Any] = {name: getattr(row, name, 0) for name in Watch.__slots__}
    return Watch(**known)
