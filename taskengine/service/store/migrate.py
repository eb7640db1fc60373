"""Brings a database to the form that this version knows, under a lock: two services may start at once.

An empty one is made as the tables are (a test holds that the migrations come to the same), an older one is migrated by
Alembic, which is only loaded for that: it is a tenth of a service's memory. Must not know what is in any table.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from taskengine.errors import InvalidInput

if TYPE_CHECKING:
    from alembic.config import Config

    from taskengine.service.store.database import Database

#: the newest revision in migrations/versions; a test holds it so
HEAD = "0007"
_LOCK = 0x4143525F  # any number that no other program uses in the same database


def upgrade(database: Database, revision: str = "head") -> None:
    """Raises InvalidInput for a database that a newer version has written, Unreachable when it does not answer."""
    if revision == "head" and (current(database) == HEAD or _made(database)):
        return
    from alembic import command
    from alembic.util import CommandError

    with _alone(database):
        found = current(database)
        if found is not None and found not in known():
            raise InvalidInput(
                f"the database is at revision {found}, which this version does not know",
                hint="a newer version has used it: run that version, or put back a copy from before",
            )
        try:
            command.upgrade(config(database), revision)
        except CommandError as error:
            raise InvalidInput(f"the database cannot be brought up to date: {error}") from error


def _made(database: Database) -> bool:
    """Whether it was empty, and is up to date now."""
    from taskengine.service.store.tables import metadata

    with database.read() as conn:
        if inspect(conn).get_table_names():
            return False
    with _alone(database), database.write() as conn:
        if inspect(conn).get_table_names():
            return False  # another service was first
        metadata.create_all(conn)
        conn.execute(text(_ALEMBICS))
        conn.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": HEAD})
    return True


#: the table in which Alembic notes the revision, as it makes it
_ALEMBICS = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def current(database: Database) -> str | None:
    """The revision that a database is at; None for an empty one."""
    with database.read() as conn:
        if not inspect(conn).has_table("alembic_version"):
            return None
        found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return None if found is None else str(found)


def known() -> list[str]:
    """All revisions, the oldest first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory(str(_folder())).walk_revisions()][::-1]


def config(database: Database | None = None) -> Config:
    """Alembic's configuration, without a file."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    made.attributes["database"] = database
    return made


def _folder() -> Path:
    return Path(__file__).parent / "migrations"


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[None]:
    if database.dialect == "postgresql":
        # A lock of the session, in a connection of its own: it goes with the connection, whatever happens.
        with database.engine.connect() as conn:
            conn.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
            try:
                yield
            finally:
                conn.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": _LOCK})
        return
    path = f"{database.engine.url.database}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
