"""What polling knows of repositories, webhooks that the service makes at forges, and statuses that it reports there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("event_outcomes", sa.Column("content", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_event_outcomes_content"), "event_outcomes", ["content"], unique=False)
    op.execute("UPDATE event_outcomes SET content = key")
    op.drop_table("heads")  # nothing has used it so far
    op.create_table(
        "repositories",
        sa.Column("repository", sa.String(length=500), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("checked", sa.BigInteger(), nullable=True),
        sa.Column("changed", sa.BigInteger(), nullable=True),
        sa.Column("missed", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("repository", name=op.f("pk_repositories")),
    )
    op.create_table(
        "heads",
        sa.Column("repository", sa.String(length=500), nullable=False),
        sa.Column("ref", sa.String(length=500), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository"], ["repositories.repository"], name=op.f("fk_heads_repository_repositories"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("repository", "ref", name=op.f("pk_heads")),
    )  # fmt: skip
    op.create_table(
        "forge_hooks",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("forge", sa.String(length=50), nullable=False),
        sa.Column("repository", sa.String(length=2000), nullable=False),
        sa.Column("wanted", sa.String(length=64), nullable=False),
        sa.Column("made", sa.String(length=64), nullable=False),
        sa.Column("remote", sa.String(length=500), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("task", "name", name=op.f("pk_forge_hooks")),
    )
    op.create_index("ix_forge_hooks_next_at", "forge_hooks", ["next_at"], unique=False)
    op.create_table(
        "commit_statuses",
        sa.Column("number", _number(), autoincrement=True, nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("source", sa.String(length=200), nullable=False),
        sa.Column("repository", sa.String(length=2000), nullable=False),
        sa.Column("commit_id", sa.String(length=64), nullable=False),
        sa.Column("told", sa.String(length=20), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_commit_statuses")),
        sa.UniqueConstraint("run", "told", name=op.f("uq_commit_statuses_run_told")),
    )
    op.create_index(op.f("ix_commit_statuses_run"), "commit_statuses", ["run"], unique=False)
    op.create_index("ix_commit_statuses_state_next_at", "commit_statuses", ["state", "next_at"], unique=False)
    op.create_index("ix_commit_statuses_task_commit_id", "commit_statuses", ["task", "commit_id"], unique=False)
