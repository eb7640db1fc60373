"""The database: opened by URL, and the two ways to use it, `read` and `write`. Knows SQLite's and PostgreSQL's manners.

SQLite (the default) is one file beside a write-ahead log, and `synchronous=FULL`: a commit returns when the disk has
it, so that what is acknowledged survives a power cut. That costs one flush of the disk a write (0.1 ms on a good SSD,
some 5 ms on a plain disk). One thread writes at a time, in the order of a line of our own: SQLite itself would let them
starve.

PostgreSQL is asked before a connection from the pool is used again, so a restart of it costs nobody an error later on.
A transaction that lost against another one is done again by `transact`, never by `write`, which cannot.

When a database goes away, every call raises Unreachable; when it is back, they work again. Must not know any table.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from taskengine.errors import InvalidInput, OutOfSpace, Unreachable
from taskengine.service.store.turns import Turns

T = TypeVar("T")

BUSY_SECONDS = 15
_POOL, _OVERFLOW = 5, 40  # connections that stay, and further ones for a moment
_TRIES = 5
_LOST = frozenset({"40001", "40P01"})  # serialization failure, deadlock: PostgreSQL asks to try again
_FULL = frozenset({"53100"})


class _Passing(Unreachable):
    """Trouble that another try may not meet. With `lost`, the connection went, and a commit may or may not be made."""

    def __init__(self, message: str, *, hint: str, lost: bool) -> None:
        super().__init__(message, hint=hint)
        self.lost = lost


class Database:
    """An open database. Threads may share it. `dialect` is `sqlite` or `postgresql`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dialect = engine.dialect.name
        self._file = Path(engine.url.database or "") if self.dialect == "sqlite" else None
        self._identity: tuple[int, int] | None = None
        self._writer = Turns()

    @classmethod
    def open(cls, url: str, *, migrate: bool = True) -> Database:
        """Opens it, made and brought up to date as needed. Raises InvalidInput for a URL that is none, and for a
        database that a newer version has written; Unreachable when it does not answer."""
        from taskengine.service.store.migrate import upgrade

        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            _make_file(Path(parsed.database or ""))
        database = cls(_engine(parsed))
        try:
            if migrate:
                upgrade(database)
            database.ping()
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        self.engine.dispose()

    def ping(self) -> None:
        """Raises Unreachable when the database does not answer."""
        with self.read() as conn:
            conn.execute(text("SELECT 1"))

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that changes nothing; on SQLite it sees one state throughout. Raises Unreachable."""
        with self._transaction(writes=False) as conn:
            yield conn

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end, or leaves no trace when anything is raised. Keep it short: on
        SQLite nobody else writes meanwhile, not even this thread by another `write`. Raises Unreachable, also when it
        is unknown whether the commit was made."""
        if self.dialect != "sqlite":
            with self._transaction(writes=True) as conn:
                yield conn
            return
        if not self._writer.acquire(BUSY_SECONDS):
            raise Unreachable("the database is busy", hint="try again; if it lasts, the disk may be too slow")
        try:
            with self._transaction(writes=True) as conn:
                yield conn
        finally:
            self._writer.release()

    def transact(self, work: Callable[[Connection], T]) -> T:
        """`work` within `write`, done again when the database asks for it (PostgreSQL: deadlock, serialization) or the
        connection was lost before the commit. `work` may run more than once, and must have no other effects."""
        for attempt in range(_TRIES):
            committing = False
            try:
                with self.write() as conn:
                    found = work(conn)
                    committing = True
                return found
            except _Passing as error:
                if (error.lost and committing) or attempt == _TRIES - 1:
                    raise
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        try:
            self._check_file()
            with self.engine.connect() as conn:
                conn = conn.execution_options(writes=writes)
                with conn.begin():
                    yield conn
        except DBAPIError as error:
            if (told := self._told(error)) is None:
                raise
            raise told from error
        except PoolTimeout as error:
            raise Unreachable("every connection to the database is in use", hint="try again in a moment") from error

    def _check_file(self) -> None:
        """A SQLite file that was removed or replaced under our hands would still take writes, into nowhere."""
        if self._file is None:
            return
        try:
            found = os.stat(self._file)  # noqa: PTH116 - on the way of every transaction
        except OSError as error:
            self.engine.dispose()
            self._identity = None
            raise Unreachable(
                f"the database {self._file} is gone: {(error.strerror or str(error)).lower()}",
                hint="put it back, or start the service again to begin with an empty one",
            ) from error
        identity = (found.st_dev, found.st_ino)
        if self._identity != identity:
            if self._identity is not None:
                self.engine.dispose()
            self._identity = identity

    def _told(self, error: DBAPIError) -> Unreachable | None:
        """The error in our words; None when it is our own mistake (a constraint, a wrong statement)."""
        return _told_sqlite(error.orig) if self.dialect == "sqlite" else _told_postgresql(error)


def alone(conn: Connection, number: int) -> None:
    """Until this transaction ends, nobody else, of all services, is past this line with the same number. On SQLite that
    is so anyway: there is one writer."""
    if conn.dialect.name == "postgresql":
        conn.execute(_ALONE, {"number": number})


_ALONE = text("SELECT pg_advisory_xact_lock(:number)")


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput("the address of the database is no URL", hint=_FORMS) from error
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite")
    raise InvalidInput(
        f"a database at {backend}:// is not supported" + " in memory" * (backend == "sqlite"), hint=_FORMS
    )


_FORMS = "it looks like sqlite:////var/lib/acr-task/service.db or postgresql://user:password@host/name"


def _make_file(path: Path) -> None:
    """The file and its folder are for their owner only: tasks and logs may tell more than people think."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise Unreachable(
            f"the database {path} cannot be opened: {(error.strerror or str(error)).lower()}",
            hint="ACR_TASK_DATA names the data folder, ACR_TASK_DATABASE_URL the database",
        ) from error


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        # Named as a URI, so that a file which is gone is an error and not made anew, empty.
        path = Path(url.database or "").absolute().as_uri() + "?mode=rw"
        engine = create_engine(
            url.set(database=str(Path(url.database or "").absolute())),
            creator=lambda: sqlite3.connect(path, uri=True, timeout=BUSY_SECONDS, check_same_thread=False),
            pool_size=_POOL,
            max_overflow=_OVERFLOW,
        )
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(
        url,
        pool_pre_ping=True,
        pool_size=_POOL,
        max_overflow=_OVERFLOW,
        pool_use_lifo=True,
        connect_args={"connect_timeout": 5, "application_name": "acr-task", "options": "-c timezone=UTC"}
        if "options" not in url.query
        else {"connect_timeout": 5},
        isolation_level="READ COMMITTED",
    )


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin when we say so
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_SECONDS * 1000}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(conn: Connection) -> None:
    writes = conn.get_execution_options().get("writes", True)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _told_sqlite(error: Any) -> Unreachable | None:
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith("SQLITE_FULL"):
        return OutOfSpace("the disk of the database is full", hint="make room; nothing of this call was kept")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unreachable("the database is busy: another process holds it", hint="try again in a moment")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR")):
        return Unreachable(f"the database cannot be used: {error}", hint="look after its disk and its permissions")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Unreachable(f"the database is damaged: {error}", hint="put back a copy; see docs/service.md")
    return None


def _told_postgresql(error: DBAPIError) -> Unreachable | None:
    state = getattr(error.orig, "sqlstate", None)
    if state in _LOST:
        return _Passing("the database was too busy with others' changes", hint="try again", lost=False)
    if state in _FULL:
        return OutOfSpace("the disk of the database is full", hint="make room; nothing of this call was kept")
    words = " ".join(str(error.orig).split()) or type(error.orig).__name__
    if not error.connection_invalidated and not _is_connection_trouble(error, state):
        return None
    message, hint = f"the database does not answer: {words}", "see whether it runs; calls work again when it does"
    return _Passing(message, hint=hint, lost=True) if error.connection_invalidated else Unreachable(message, hint=hint)


def _is_connection_trouble(error: DBAPIError, state: str | None) -> bool:
    """Classes of SQLSTATE: 08 connection, 53 resources, 57 an operator's doing, 28 login, 3D no such database."""
    if state is None:
        return type(error.orig).__name__ in ("OperationalError", "InterfaceError", "ConnectionTimeout")
    return state[:2] in ("08", "53", "57", "28", "3D")
