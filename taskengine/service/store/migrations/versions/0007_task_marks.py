"""An index that tells whether any task has changed."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("ix_tasks_updated_revision", "tasks", ["updated", "revision"], unique=False)
