"""Databases for the tests of the service: SQLite, and a real PostgreSQL, one server for each worker of the suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskengine.service.store.database import Database
from tests.support.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server. Stop it only when you start it again."""
    server = Postgres()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/service.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database, up to date, of each kind."""
    opened = Database.open(database_url)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An open SQLite database, for what does not depend on the kind."""
    opened = Database.open(f"sqlite:///{tmp_path}/service.db")
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def opening() -> Iterator[Callable[[str], Database]]:
    """Opens databases that are closed at the end."""
    made: list[Database] = []

    def open_(url: str) -> Database:
        made.append(Database.open(url))
        return made[-1]

    try:
        yield open_
    finally:
        for one in made:
            one.close()
