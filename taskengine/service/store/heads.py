"""Repositories that are watched, and the newest commit that was seen of each of their refs. Must not know git."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, or_, select

from taskengine.service.store.rows import clean
from taskengine.service.store.tables import heads, repositories


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """How asking a repository went. `repository` is its one spelling; `scope` says for which tasks it was asked last,
    with a digest of what each of them wants. `changed` is when something moved last, `missed` when something did of
    which nobody had told, `next_at` the next check, `failures` the checks in a row that failed, `error` the last
    one's words."""

    repository: str
    scope: Mapping[str, str] = field(default_factory=dict)
    checked: datetime | None = None
    changed: datetime | None = None
    missed: datetime | None = None
    next_at: datetime
    failures: int = 0
    error: str = ""


def every(conn: Connection) -> dict[str, Repository]:
    """All that are known, by their one spelling."""
    return {row.repository: _repository(row) for row in conn.execute(select(repositories))}


def get(conn: Connection, repository: str) -> Repository | None:
    row = conn.execute(select(repositories).where(repositories.c.repository == repository)).first()
    return None if row is None else _repository(row)


def named(conn: Connection, where: str) -> list[Repository]:
    """A repository by its one spelling, as it is asked with each token."""
    name = repositories.c.repository
    statement = select(repositories).where(or_(name == where, name.startswith(f"{where} ", autoescape=True)))
    return [_repository(row) for row in conn.execute(statement.order_by(name))]


def hurry(conn: Connection, repository: str, *, now: datetime) -> None:
    """It is asked next."""
    conn.execute(repositories.update().where(repositories.c.repository == repository).values(next_at=now))


def put(conn: Connection, one: Repository) -> None:
    """In place of what was known of it."""
    one = replace(one, error=clean(one.error, 1000))
    values: dict[str, Any] = {name: getattr(one, name) for name in Repository.__slots__}
    values["scope"] = dict(one.scope)
    mine = repositories.c.repository == one.repository
    if not conn.execute(repositories.update().where(mine).values(**values)).rowcount:
        conn.execute(repositories.insert().values(**values))


def refs(conn: Connection, repository: str) -> dict[str, str]:
    """The commits that were seen last, by ref."""
    found = select(heads.c.ref, heads.c.commit_id).where(heads.c.repository == repository)
    return {row.ref: row.commit_id for row in conn.execute(found)}


def see(conn: Connection, repository: str, now_there: Mapping[str, str], *, now: datetime) -> None:
    """What the refs stand for now; those that are not there any more are forgotten."""
    before = refs(conn, repository)
    changed = [ref for ref, commit in before.items() if now_there.get(ref) != commit]
    for start in range(0, len(changed), 500):
        part = changed[start : start + 500]
        conn.execute(heads.delete().where(heads.c.repository == repository, heads.c.ref.in_(part)))
    new = [
        {"repository": repository, "ref": ref, "commit_id": commit, "seen": now}
        for ref, commit in now_there.items()
        if before.get(ref) != commit
    ]
    if new:
        conn.execute(heads.insert(), new)


def forget(conn: Connection, known: Collection[str]) -> int:
    """Lets go of all repositories but these. Returns how many went."""
    gone = [name for name in conn.execute(select(repositories.c.repository)).scalars() if name not in known]
    for name in gone:
        conn.execute(heads.delete().where(heads.c.repository == name))
        conn.execute(repositories.delete().where(repositories.c.repository == name))
    return len(gone)


def _repository(row: Row[Any]) -> Repository:
    return Repository(**{name: getattr(row, name) for name in Repository.__slots__})
