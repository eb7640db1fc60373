"""Tokens: who may call. Kept as SHA-256 of 256 random bits, which no list of words can turn back.

A token reads `acrt_ID_SECRET`: the id finds the row, the secret is compared in constant time. Must not know HTTP, nor
what a role may do.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, func, or_, select

from taskengine.errors import NotFound
from taskengine.service.model import Role, Token
from taskengine.service.store.database import alone
from taskengine.service.store.rows import token_of
from taskengine.service.store.tables import tokens

_PREFIX = "acrt"
_FIRST, _BIND = 0x41435454, 0x41435442
_USED_EVERY = timedelta(minutes=5)  # how exact `used` is: not each call is worth a write


def create(
    conn: Connection, *, name: str, role: Role, now: datetime, scopes: Iterable[str] = (),
    expires: datetime | None = None, secret: str | None = None, worker: str = "",
) -> tuple[Token, str]:  # fmt: skip
    """A new token, and its text, which is shown once and kept nowhere. `secret` takes a given text instead of a random
    one (ACR_TASK_ADMIN_TOKEN). `worker` binds it to the worker of this name from the beginning."""
    new_id = secrets.token_hex(6)
    text = secret or f"{_PREFIX}_{new_id}_{secrets.token_urlsafe(32)}"
    if secret is not None:
        new_id = _id_of(secret)
    conn.execute(
        tokens.insert().values(
            id=new_id,
            name=name,
            hash=_hash(text),
            role=role.value,
            scopes=list(scopes),
            created=now,
            expires=expires,
            worker=worker,
        )
    )
    made = Token(
        id=new_id, name=name, role=role, scopes=tuple(scopes), created=now, expires=expires, worker=worker
    )  # fmt: skip
    return made, text


def first_admin(conn: Connection, *, now: datetime, given: str | None = None) -> str | None:
    """When there is no token at all: makes one for an admin and returns its text, to be shown once. Else None."""
    alone(conn, _FIRST)
    if conn.execute(select(func.count()).select_from(tokens)).scalar_one():
        return None
    _, text = create(conn, name="first admin", role=Role.ADMIN, now=now, secret=given or None)
    return text


def check(conn: Connection, text: str, *, now: datetime) -> Token | None:
    """Whose token this is; None for one that is unknown, expired or revoked. As slow for a wrong one as for a right."""
    row = conn.execute(select(tokens).where(tokens.c.id == _id_of(text))).first()
    given = _hash(text)
    same = hmac.compare_digest(given, bytes(row.hash) if row is not None else b"\0" * len(given))
    if row is None or not same or row.revoked is not None or (row.expires is not None and row.expires <= now):
        return None
    return token_of(row)


def bind(conn: Connection, token: str, worker: str, *, now: datetime) -> str:
    """A worker's token that speaks for nobody yet is bound to a worker, by name, for good. Returns whom it speaks for
    now; empty when the name is another token's already."""
    alone(conn, _BIND)  # of two tokens that come at once with one name, one gets it
    mine = conn.execute(select(tokens.c.worker).where(tokens.c.id == token)).scalar() or ""
    if mine:
        return str(mine)
    c = tokens.c
    alive = (c.revoked.is_(None), or_(c.expires.is_(None), c.expires > now))
    if conn.execute(select(c.id).where(c.worker == worker, c.role == Role.WORKER.value, *alive).limit(1)).first():
        return ""
    conn.execute(tokens.update().where(c.id == token).values(worker=worker))
    return worker


def touch(conn: Connection, token: str, *, now: datetime) -> None:
    """Notes that it was used, to some minutes."""
    stale = (tokens.c.used.is_(None)) | (tokens.c.used < now - _USED_EVERY)
    conn.execute(tokens.update().where(tokens.c.id == token, stale).values(used=now))


def needs_touch(conn: Connection, token: str, *, now: datetime) -> bool:
    """Whether `touch` would write."""
    used = conn.execute(select(tokens.c.used).where(tokens.c.id == token)).scalar()
    return used is None or used < now - _USED_EVERY


def list_all(conn: Connection) -> list[Token]:
    """Those that were not revoked, the oldest first; expired ones among them."""
    found = conn.execute(select(tokens).where(tokens.c.revoked.is_(None)).order_by(tokens.c.created, tokens.c.id))
    return [token_of(row) for row in found]


def revoke(conn: Connection, token: str, *, now: datetime) -> None:
    """From now on it opens nothing. Revoking twice is well. Raises NotFound."""
    if conn.execute(select(tokens.c.id).where(tokens.c.id == token)).first() is None:
        raise NotFound(f"no token has the id {token}", hint="acr-task token list shows them")
    conn.execute(tokens.update().where(tokens.c.id == token, tokens.c.revoked.is_(None)).values(revoked=now))


def _id_of(text: str) -> str:
    """The id within a token; for one that was given by somebody, part of its hash."""
    parts = text.split("_", 2)
    if len(parts) == 3 and parts[0] == _PREFIX and len(parts[1]) == 12:
        return parts[1]
    return sha256(b"id:" + text.encode("utf-8", "replace")).hexdigest()[:12]


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "replace")).digest()
