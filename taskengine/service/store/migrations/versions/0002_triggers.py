"""Events from outside and what became of them, timers, heads of repositories."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("number", _number(), autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=50), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("delivery", sa.String(length=200), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
        sa.UniqueConstraint("source", "task", "delivery", name=op.f("uq_events_source_task_delivery")),
    )
    op.create_index(op.f("ix_events_received"), "events", ["received"], unique=False)
    op.create_index(op.f("ix_events_done"), "events", ["done"], unique=False)
    op.create_index("ix_events_state_next_at", "events", ["state", "next_at"], unique=False)
    op.create_index("ix_events_task_number", "events", ["task", "number"], unique=False)
    op.create_table(
        "event_outcomes",
        sa.Column("number", _number(), autoincrement=True, nullable=False),
        sa.Column("event", _number(), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event"], ["events.number"], name=op.f("fk_event_outcomes_event_events"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_event_outcomes")),
        sa.UniqueConstraint("key", name=op.f("uq_event_outcomes_key")),
    )
    op.create_index(op.f("ix_event_outcomes_event"), "event_outcomes", ["event"], unique=False)
    op.create_table(
        "timers",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("schedule", sa.String(length=500), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task", "name", name=op.f("pk_timers")),
    )
    op.create_table(
        "timers_fired",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("instant", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("task", "name", "instant", name=op.f("pk_timers_fired")),
    )
    op.create_index(op.f("ix_timers_fired_at"), "timers_fired", ["at"], unique=False)
    op.create_table(
        "heads",
        sa.Column("repository", sa.String(length=500), nullable=False),
        sa.Column("ref", sa.String(length=500), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("checked", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("repository", "ref", name=op.f("pk_heads")),
    )
