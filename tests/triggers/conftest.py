"""The databases of the service's tests."""

from __future__ import annotations

from tests.service.conftest import _postgres_template, _sqlite_template, database, database_url, postgres, sqlite

__all__ = ["_postgres_template", "_sqlite_template", "database", "database_url", "postgres", "sqlite"]
