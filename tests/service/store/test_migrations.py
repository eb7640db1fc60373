"""The migrations make what the tables say, from every revision on, on both databases."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from taskengine.errors import InvalidInput
from taskengine.service.store import migrate
from taskengine.service.store.database import Database
from taskengine.service.store.tables import metadata

REVISIONS = migrate.known()


def differences(database: Database) -> list[object]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def test_head_is_the_newest_revision() -> None:
    assert REVISIONS[-1] == migrate.HEAD


def test_an_empty_database_becomes_what_the_tables_say(empty_url: str) -> None:
    database = Database.open(empty_url)
    try:
        assert migrate.current(database) == migrate.HEAD
        assert differences(database) == []
    finally:
        database.close()


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_any_earlier_revision_is_brought_up_to_date(empty_url: str, revision: str) -> None:
    old = Database.open(empty_url, migrate=False)
    try:
        migrate.upgrade(old, revision)
        assert migrate.current(old) == revision
    finally:
        old.close()
    database = Database.open(empty_url)
    try:
        assert migrate.current(database) == migrate.HEAD
        assert differences(database) == []
    finally:
        database.close()


def test_services_that_start_at_once_make_one_database(empty_url: str) -> None:
    errors: list[Exception] = []

    def start() -> None:
        try:
            Database.open(empty_url).close()
        except Exception as error:  # noqa: BLE001 - whatever it is
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(database: Database, database_url: str) -> None:
    with database.write() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidInput, match="revision 9999, which this version does not know") as told:
        Database.open(database_url)
    assert "newer version" in (told.value.hint or "")
    assert migrate.current(database) == "9999"


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(empty_url: str) -> None:
    database = Database.open(empty_url, migrate=False)
    try:
        with database.write() as conn:
            conn.execute(
                text("CREATE TABLE tokens (id INTEGER)")
            )  # in the way of the last tables of the first revision
        with pytest.raises(Exception, match="tokens"):
            migrate.upgrade(database)
        with database.read() as conn:
            assert inspect(conn).get_table_names() == ["tokens"]
    finally:
        database.close()


def test_the_migrations_are_in_the_package() -> None:
    folder = Path(migrate.__file__).parent / "migrations"
    assert (folder / "env.py").is_file()
    assert [path.name[:4] for path in sorted((folder / "versions").glob("0*.py"))] == REVISIONS
