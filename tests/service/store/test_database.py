"""The two databases' manners: opened, busy, gone and back."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from taskengine.errors import InvalidInput, OutOfSpace, Unreachable
from taskengine.service.store import tokens
from taskengine.service.store.database import Database
from taskengine.service.store.tables import counters
from tests.service.support import AT
from tests.support.postgres import Postgres


def put(database: Database, name: str) -> None:
    with database.write() as conn:
        conn.execute(counters.insert().values(name=name, value=1))


def names(database: Database) -> list[str]:
    with database.read() as conn:
        return sorted(conn.execute(counters.select()).scalars())


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "no URL"), ("mysql://host/name", "mysql:// is not supported"), ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"), ("", "no URL"),
    ],
)  # fmt: skip
def test_a_url_that_names_no_database_of_ours_is_refused(url: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as told:
        Database.open(url)
    assert "postgresql://" in (told.value.hint or "")


def test_what_was_written_is_there_and_what_was_raised_leaves_no_trace(database: Database) -> None:
    put(database, "a")

    def fail(conn: Connection) -> None:
        conn.execute(counters.insert().values(name="b", value=1))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.transact(fail)
    assert names(database) == ["a"]


def test_many_writers_lose_nothing(database: Database) -> None:
    put(database, "n")

    def grow() -> None:
        for _ in range(10):
            with database.write() as conn:
                conn.execute(counters.update().values(value=counters.c.value + 1))

    threads = [threading.Thread(target=grow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with database.read() as conn:
        assert conn.execute(text("SELECT value FROM counters")).scalar() == 81


# ---- SQLite


def test_sqlite_keeps_what_it_acknowledged(sqlite: Database) -> None:
    with sqlite.read() as conn:
        found = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    Database.open(f"sqlite:///{tmp_path}/new/service.db").close()
    assert (tmp_path / "new" / "service.db").stat().st_mode & 0o077 == 0


def test_a_reader_sees_one_state_while_others_write(sqlite: Database) -> None:
    put(sqlite, "a")
    with sqlite.read() as conn:
        assert len(conn.execute(counters.select()).all()) == 1
        put(sqlite, "b")
        assert len(conn.execute(counters.select()).all()) == 1
    assert names(sqlite) == ["a", "b"]


def test_a_file_that_goes_away_is_told_and_works_again_when_it_is_back(sqlite: Database, tmp_path: Path) -> None:
    put(sqlite, "a")
    files = list(tmp_path.glob("service.db*"))
    for path in files:
        path.rename(path.with_name(f"gone-{path.name}"))
    for _ in range(2):
        with pytest.raises(Unreachable, match="is gone") as told:
            put(sqlite, "b")
        assert told.value.hint
    assert not (tmp_path / "service.db").exists(), "an empty one in its place would look like a loss"
    for path in files:
        path.with_name(f"gone-{path.name}").rename(path)
    put(sqlite, "c")
    assert names(sqlite) == ["a", "c"]


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database at all, but long enough to be looked at" * 50)
    with pytest.raises(Unreachable, match="damaged"):
        Database.open(f"sqlite:///{tmp_path}/x.db")


def test_a_place_that_takes_no_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="cannot be opened"):
        Database.open(f"sqlite:///{tmp_path}/file/service.db")


def test_a_full_disk_is_told_and_keeps_nothing_of_the_call(sqlite: Database) -> None:
    put(sqlite, "a")

    def fill(conn: Connection) -> None:
        conn.exec_driver_sql("PRAGMA max_page_count=1")  # what SQLite does on a full disk, without one
        conn.execute(counters.insert().values(name="b", value=1))
        conn.execute(text("CREATE TABLE big AS SELECT zeroblob(100000000) AS b"))

    with pytest.raises(OutOfSpace, match="full"):
        sqlite.transact(fill)
    sqlite.engine.dispose()
    assert names(sqlite) == ["a"]


def test_another_process_that_holds_the_file_is_waited_for_and_then_told(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskengine.service.store.database.BUSY_SECONDS", 0.05)
    sqlite.engine.dispose()
    other = sqlite3.connect(tmp_path / "service.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unreachable, match="busy"):
            put(sqlite, "a")
        assert names(sqlite) == [], "readers are in nobody's way"
        other.execute("ROLLBACK")
    finally:
        other.close()
    put(sqlite, "a")


# ---- PostgreSQL


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A server that may be killed."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()


def test_a_server_that_is_killed_and_comes_back_costs_no_call_afterwards(own_postgres: Postgres) -> None:
    database = Database.open(own_postgres.fresh())
    try:
        put(database, "a")
        own_postgres.stop(kill=True)
        for _ in range(2):
            with pytest.raises(Unreachable, match="does not answer") as told:
                put(database, "b")
            assert told.value.hint
        with pytest.raises(Unreachable), database.read() as conn:
            tokens.list_all(conn)
        own_postgres.start()
        put(database, "c")
        assert names(database) == ["a", "c"]
    finally:
        database.close()


def test_a_connection_that_is_cut_in_a_transaction_is_told_or_tried_again(postgresql: Database) -> None:
    cut = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(Unreachable), postgresql.write() as conn:
        conn.execute(text(cut))
    tries: list[int] = []

    def work(conn: Connection) -> str:
        tries.append(1)
        conn.execute(counters.insert().values(name="a", value=1))
        if len(tries) == 1:
            conn.execute(text(cut))
        return "done"

    assert postgresql.transact(work) == "done"
    assert len(tries) == 2
    assert names(postgresql) == ["a"]


def test_transactions_that_wait_for_each_other_are_done_again(postgresql: Database) -> None:
    put(postgresql, "a")
    put(postgresql, "b")
    barrier = threading.Barrier(2)
    done: list[str] = []

    def work(first: str, second: str) -> None:
        tries: list[int] = []

        def change(conn: Connection) -> None:
            tries.append(1)
            for name in (first, second):
                conn.execute(counters.update().where(counters.c.name == name).values(value=counters.c.value + 1))
                if len(tries) == 1 and name == first:
                    barrier.wait(10)

        postgresql.transact(change)
        done.append(first)

    threads = [threading.Thread(target=work, args=names) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == ["a", "b"]
    with postgresql.read() as conn:
        assert set(conn.execute(text("SELECT value FROM counters")).scalars()) == {3}


def test_a_server_that_refuses_is_told(postgres: Postgres) -> None:
    url = postgres.fresh().replace("/test", "/nothing")
    with pytest.raises(Unreachable, match="does not answer"):
        Database.open(url)


def test_a_mistake_of_ours_is_not_told_as_the_databases(database: Database) -> None:
    from sqlalchemy.exc import IntegrityError

    with database.write() as conn:
        tokens.first_admin(conn, now=AT)
    put(database, "a")
    with pytest.raises(IntegrityError):
        put(database, "a")
