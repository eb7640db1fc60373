"""Secrets at rest: sealed by a key that lies outside of the database, never shown again, gone with their owner.

The key is a file for its owner only, or ACR_TASK_SECRET_KEY; both may hold several keys, one a line: the first seals,
all open, so a key is rotated by putting a new one first: the next start calls `rotate`. Must not know what a secret is
for.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from taskengine.errors import InvalidInput, Unreachable
from taskengine.service.store.tables import secrets

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

_LOST = "put the key file back (or ACR_TASK_SECRET_KEY); without it, secrets have to be given anew"


class SecretBox:
    """Seals and opens. Keys are URL-safe base64 of 32 bytes (Fernet: AES-128-CBC and HMAC-SHA-256). `keys` says how
    many there are."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        """Raises InvalidInput for a key that is none; the message does not show it."""
        from cryptography.fernet import Fernet, MultiFernet

        if not keys:
            raise InvalidInput("there is no key for secrets", hint=_LOST)
        self.keys = len(keys)
        try:
            self._fernet: MultiFernet = MultiFernet([Fernet(key.encode()) for key in keys])
        except ValueError as error:
            raise InvalidInput(
                "a key for secrets is not 32 bytes in URL-safe base64",
                hint="`head -c 32 /dev/urandom | base64 | tr +/ -_` makes one",
            ) from error

    @classmethod
    def open(cls, path: Path, *, given: str | None = None) -> SecretBox:
        """The box of `given` (ACR_TASK_SECRET_KEY) or, without it, of the key file, which is made when it is missing.
        Raises InvalidInput for a file that others may read, Unreachable for one that cannot be."""
        if given and given.strip():
            return cls(tuple(given.split()))
        try:
            return cls(_read_keys(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unreadable(path, error) from error
        try:
            return cls(_make_keys(path))
        except OSError as error:
            raise _unreadable(path, error) from error

    def seal(self, value: str) -> bytes:
        return self._fernet.encrypt(value.encode("utf-8", "surrogateescape"))

    def reveal(self, sealed: bytes) -> str:
        """Raises InvalidInput when none of the keys opens it."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.decrypt(bytes(sealed)).decode("utf-8", "surrogateescape")
        except InvalidToken as error:
            raise InvalidInput(
                "a stored secret cannot be opened: it was sealed with another key", hint=_LOST
            ) from error

    def reseal(self, sealed: bytes) -> bytes:
        """The same secret, sealed by the first key. Raises InvalidInput as `reveal` does."""
        from cryptography.fernet import InvalidToken

        try:
            return self._fernet.rotate(bytes(sealed))
        except InvalidToken as error:
            raise InvalidInput(
                "a stored secret cannot be opened: it was sealed with another key", hint=_LOST
            ) from error


def _read_keys(path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & 0o077:
            raise InvalidInput(f"others may read the key file {path}", hint=f"chmod 600 {path}")
        return tuple(file.read().decode("ascii", "replace").split())


def _make_keys(path: Path) -> tuple[str, ...]:
    """Written whole under another name, then linked: of two services that start at once, one key wins for both."""
    from cryptography.fernet import Fernet

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # which is for its owner only
    try:
        os.write(handle, Fernet.generate_key() + b"\n")
        os.fsync(handle)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.close(handle)
        Path(draft).unlink(missing_ok=True)
    return _read_keys(path)


def _unreadable(path: Path, error: OSError) -> Unreachable:
    why = (error.strerror or str(error)).lower()
    return Unreachable(f"the key file {path} cannot be used: {why}", hint="mend its permissions, or name another key")


def put(
    conn: Connection, box: SecretBox, kind: str, owner: str, values: Mapping[str, str], *, now: datetime,
    replace: bool = False,
) -> None:  # fmt: skip
    """Keeps `values` of an owner (`kind` is `task`, `run` or `hook`). With `replace`, its others are forgotten."""
    if replace:
        forget(conn, kind, owner)
    elif values:
        mine = (secrets.c.kind == kind, secrets.c.owner == owner)
        conn.execute(secrets.delete().where(*mine, secrets.c.name.in_(list(values))))
    if values:
        rows = [
            {"kind": kind, "owner": owner, "name": name, "sealed": box.seal(value), "updated": now}
            for name, value in values.items()
        ]
        conn.execute(secrets.insert(), rows)


def get(conn: Connection, box: SecretBox, kind: str, owner: str) -> dict[str, str]:
    """Raises InvalidInput when the key that sealed them is gone."""
    rows = conn.execute(select(secrets).where(secrets.c.kind == kind, secrets.c.owner == owner))
    return {row.name: box.reveal(row.sealed) for row in rows}


def named(conn: Connection, box: SecretBox, kind: str, of: Collection[str], name: str) -> dict[str, str]:
    """The secret of one name that each of these owners has; those that have none are left out. Raises as `get` does."""
    c = secrets.c
    rows = conn.execute(
        select(c.owner, c.sealed).where(c.kind == kind, c.owner.in_(sorted(of)), c.name == name)
    )  # fmt: skip
    return {row.owner: box.reveal(row.sealed) for row in rows}


def names(conn: Connection, kind: str, owner: str) -> list[str]:
    where = (secrets.c.kind == kind, secrets.c.owner == owner)
    return sorted(conn.execute(select(secrets.c.name).where(*where)).scalars())


def forget(conn: Connection, kind: str, owner: str, *only: str) -> None:
    """All of an owner's secrets, or those of these names."""
    statement = secrets.delete().where(secrets.c.kind == kind, secrets.c.owner == owner)
    conn.execute(statement.where(secrets.c.name.in_(only)) if only else statement)


def rotate(conn: Connection, box: SecretBox, *, now: datetime) -> int:
    """Seals everything anew by the first key; afterwards, older keys may go. Returns how many there were."""
    rows = conn.execute(select(secrets)).all()
    for row in rows:
        key = (secrets.c.kind == row.kind, secrets.c.owner == row.owner, secrets.c.name == row.name)
        conn.execute(secrets.update().where(*key).values(sealed=box.reseal(row.sealed), updated=now))
    return len(rows)
