"""What Alembic runs for each command: the migrations, in one transaction of the database that it was given."""

from __future__ import annotations

from alembic import context

from taskengine.service.store.tables import metadata

_database = context.config.attributes["database"]

with _database.write() as _connection:
    context.configure(
        connection=_connection,
        target_metadata=metadata,
        render_as_batch=_database.dialect == "sqlite",
        transactional_ddl=True,
    )
    context.run_migrations()
