"""The migrations make what the tables say, from every revision on, on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from taskengine.errors import InvalidInput
from taskengine.service.store import migrate
from taskengine.service.store.database import Database
from taskengine.service.store.tables import metadata
from tests.support.postgres import Postgres

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


def form(database: Database) -> dict[str, object]:
    """All of it: columns, keys, indexes with their conditions. Migrations may have added columns in another order."""
    if database.dialect == "sqlite":
        parts = text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    else:
        parts = text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    found: dict[str, object] = {}
    with database.read() as conn:
        found["indexes"] = {name: " ".join(sql.split()) for name, sql in conn.execute(parts)}
        looked = inspect(conn)
        for table in looked.get_table_names():
            columns = {
                one["name"]: (str(one["type"]), one["nullable"], one["default"]) for one in looked.get_columns(table)
            }
            keys = looked.get_pk_constraint(table)["constrained_columns"]
            unique = sorted(sorted(one["column_names"]) for one in looked.get_unique_constraints(table))
            foreign = sorted(
                (one["constrained_columns"], one["referred_table"], str(one["options"]))
                for one in looked.get_foreign_keys(table)
            )
            found[table] = (columns, keys, unique, foreign)
    return found


def test_an_empty_database_is_made_as_all_migrations_would_make_it(
    empty_url: str, tmp_path: Path, postgres: Postgres
) -> None:
    migrated = Database.open(empty_url, migrate=False)
    made = Database.open(f"sqlite:///{tmp_path}/made.db" if migrated.dialect == "sqlite" else postgres.fresh())
    try:
        migrate.upgrade(migrated, migrate.HEAD)
        assert migrate.current(made) == migrate.current(migrated) == migrate.HEAD
        assert form(made) == form(migrated)
    finally:
        made.close()
        migrated.close()


def test_a_service_that_starts_on_an_empty_database_does_without_alembic(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom taskengine.service.store.database import Database\n"
        f"Database.open('sqlite:///{tmp_path}/new.db').close()\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "False\n"


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
