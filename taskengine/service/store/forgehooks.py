"""Webhooks that the service makes at forges: what is to be there, what is there, and how making it went.

Their tokens are kept apart from the task's, sealed: a webhook has to be removed after its task is gone. Must not know
forges, nor HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from taskengine.service.store import secrets
from taskengine.service.store.rows import clean
from taskengine.service.store.tables import forge_hooks

#: how long after each failed attempt the next one is made; after the last, it is dead
PAUSES = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600))
_HIDDEN_FOR = timedelta(minutes=5)
_KIND = "forge"


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgeHook:
    """`wanted` is a digest of what is to be there, empty for nothing; `made` one of what is there; `remote` its number
    at the forge. `state` is waiting (to be made or changed), made, removing, or dead."""

    task: str
    name: str
    forge: str
    repository: str
    wanted: str
    made: str
    remote: str
    state: str
    attempts: int
    next_at: datetime | None
    error: str
    updated: datetime


def every(conn: Connection, task: str | None = None) -> list[ForgeHook]:
    statement = select(forge_hooks).order_by(forge_hooks.c.task, forge_hooks.c.name)
    return [
        _hook(row) for row in conn.execute(statement if task is None else statement.where(forge_hooks.c.task == task))
    ]


def secret(conn: Connection, box: secrets.SecretBox, hook: ForgeHook) -> dict[str, str]:
    """What making and removing it takes: the token, its kind, the webhook's secret. Raises InvalidInput."""
    return secrets.get(conn, box, _KIND, _owner(hook.task, hook.name))


def want(
    conn: Connection, box: secrets.SecretBox, *, task: str, name: str, forge: str, repository: str, wanted: str,
    secret: dict[str, str], now: datetime,
) -> None:  # fmt: skip
    """It is to be there like this, from now on; begins anew when that is anything new."""
    secrets.put(conn, box, _KIND, _owner(task, name), secret, now=now, replace=True)
    values: dict[str, Any] = {
        "forge": forge, "repository": repository, "wanted": wanted, "state": "waiting", "attempts": 0, "next_at": now,
        "error": "", "updated": now,
    }  # fmt: skip
    if not conn.execute(forge_hooks.update().where(*_mine(task, name)).values(**values)).rowcount:
        conn.execute(forge_hooks.insert().values(task=task, name=name, made="", remote="", **values))


def unwant(conn: Connection, hook: ForgeHook, *, now: datetime) -> None:
    """It is not to be there any more. One that never was is forgotten at once."""
    if not hook.remote:
        forget(conn, hook)
    elif hook.wanted or hook.state not in ("removing", "dead"):
        values: dict[str, Any] = {"wanted": "", "state": "removing", "attempts": 0, "next_at": now, "updated": now}
        conn.execute(forge_hooks.update().where(*_mine(hook.task, hook.name)).values(**values))


def due(conn: Connection, *, now: datetime, most: int = 20) -> list[ForgeHook]:
    """Those whose time has come; report each with `made`, `forget` or `failed`."""
    statement = select(forge_hooks).where(forge_hooks.c.next_at <= now).order_by(forge_hooks.c.next_at).limit(most)
    rows = conn.execute(statement.with_for_update(skip_locked=True)).all()
    for row in rows:
        conn.execute(forge_hooks.update().where(*_mine(row.task, row.name)).values(next_at=now + _HIDDEN_FOR))
    return [_hook(row) for row in rows]


def made(conn: Connection, hook: ForgeHook, remote: str, *, now: datetime) -> None:
    """It is there as it was wanted when the attempt began; what has become wanted since is still to be made."""
    row = conn.execute(select(forge_hooks).where(*_mine(hook.task, hook.name)).with_for_update()).first()
    if row is None:
        return
    values: dict[str, Any] = {"made": hook.wanted, "remote": clean(remote, 500), "updated": now}
    if row.wanted == hook.wanted and row.updated == hook.updated:
        values |= {"state": "made", "attempts": 0, "next_at": None, "error": ""}
    conn.execute(forge_hooks.update().where(*_mine(hook.task, hook.name)).values(**values))


def failed(conn: Connection, hook: ForgeHook, error: str, *, now: datetime, wait: int = 0) -> None:
    """An attempt went wrong: it waits for the next one (for `wait` seconds at least), or is dead after the last."""
    row = conn.execute(select(forge_hooks).where(*_mine(hook.task, hook.name)).with_for_update()).first()
    if row is None or row.updated != hook.updated:
        return  # something else is wanted by now
    values: dict[str, Any] = {"attempts": row.attempts + 1, "error": clean(error, 1000)}
    if row.attempts < len(PAUSES):
        values |= {"next_at": now + max(PAUSES[row.attempts], timedelta(seconds=wait))}
    else:
        values |= {"state": "dead", "next_at": None}
    conn.execute(forge_hooks.update().where(*_mine(hook.task, hook.name)).values(**values))


def retry(conn: Connection, task: str, *, now: datetime) -> int:
    """Begins anew with what is dead of a task. Returns how many there were."""
    mine = (forge_hooks.c.task == task, forge_hooks.c.state == "dead")
    count = 0
    for hook in [_hook(row) for row in conn.execute(select(forge_hooks).where(*mine))]:
        state = "waiting" if hook.wanted else "removing"
        values: dict[str, Any] = {"state": state, "attempts": 0, "next_at": now, "updated": now}
        count += conn.execute(forge_hooks.update().where(*_mine(hook.task, hook.name)).values(**values)).rowcount
    return count


def forget(conn: Connection, hook: ForgeHook) -> None:
    """With its token."""
    secrets.forget(conn, _KIND, _owner(hook.task, hook.name))
    conn.execute(forge_hooks.delete().where(*_mine(hook.task, hook.name)))


def _mine(task: str, name: str) -> tuple[Any, Any]:
    return forge_hooks.c.task == task, forge_hooks.c.name == name


def _owner(task: str, name: str) -> str:
    return f"{task}/{name}"[:200]


def _hook(row: Row[Any]) -> ForgeHook:
    return ForgeHook(**{name: getattr(row, name) for name in ForgeHook.__slots__})
