"""Events are found by the task that they led to something for, and entries of the audit log by what they are about."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("ix_event_outcomes_task_event", "event_outcomes", ["task", "event"], unique=False)
    op.create_index(op.f("ix_audit_object"), "audit", ["object"], unique=False)
