"""The databases of the service's tests, and the registries of the registry client's."""

from __future__ import annotations

from tests.registry.conftest import guarded, plain
from tests.service.conftest import _postgres_template, _sqlite_template, database, database_url, postgres, sqlite

__all__ = [
    "_postgres_template",
    "_sqlite_template",
    "database",
    "database_url",
    "guarded",
    "plain",
    "postgres",
    "sqlite",
]
