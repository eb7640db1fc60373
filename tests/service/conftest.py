"""Databases for the tests of the service: SQLite, and a real PostgreSQL, one server for each worker of the suite."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskengine.service.store.database import Database
from tests.support.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server. Who stops it starts it again."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "service.db"
    Database.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def _postgres_template(postgres: Postgres) -> str:
    url = postgres.fresh()
    Database.open(url).close()
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is up to date and empty, of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("_sqlite_template"), tmp_path / "service.db")
        return f"sqlite:///{tmp_path}/service.db"
    template: str = request.getfixturevalue("_postgres_template")
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh(template)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database, of each kind."""
    opened = Database.open(database_url)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def sqlite(tmp_path: Path, _sqlite_template: Path) -> Iterator[Database]:
    """An open SQLite database, for what does not depend on the kind."""
    shutil.copy(_sqlite_template, tmp_path / "service.db")
    opened = Database.open(f"sqlite:///{tmp_path}/service.db")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def postgresql(postgres: Postgres, _postgres_template: str) -> Iterator[Database]:
    """An open PostgreSQL database, for what only it can show."""
    opened = Database.open(postgres.fresh(_postgres_template))
    try:
        yield opened
    finally:
        opened.close()
