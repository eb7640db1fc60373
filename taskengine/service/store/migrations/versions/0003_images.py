"""What tasks stand on, the images that are watched, and the waves of rebuilds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "task_scans",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("watching", sa.Boolean(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=True),
        sa.Column("marks", sa.Integer(), nullable=False),
        sa.Column("scanned", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task"], ["tasks.name"], name=op.f("fk_task_scans_task_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_task_scans")),
    )  # fmt: skip
    op.create_index(op.f("ix_task_scans_due"), "task_scans", ["due"], unique=False)
    op.create_table(
        "task_images",
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("relation", sa.String(length=20), nullable=False),
        sa.Column("image", sa.String(length=500), nullable=False),
        sa.Column("platform", sa.String(length=50), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("digest", sa.String(length=200), nullable=False),
        sa.Column("platform_digest", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task"], ["tasks.name"], name=op.f("fk_task_images_task_tasks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task", "relation", "image", "platform", name=op.f("pk_task_images")),
    )  # fmt: skip
    op.create_index("ix_task_images_image_relation", "task_images", ["image", "relation"], unique=False)
    op.create_table(
        "watches",
        sa.Column("image", sa.String(length=500), nullable=False),
        sa.Column("seen", sa.Text(), nullable=True),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("checked", sa.BigInteger(), nullable=True),
        sa.Column("changed", sa.BigInteger(), nullable=True),
        sa.Column("told", sa.BigInteger(), nullable=True),
        sa.Column("told_by", sa.Text(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("image", name=op.f("pk_watches")),
    )
    op.create_index(op.f("ix_watches_next_at"), "watches", ["next_at"], unique=False)
    op.create_table(
        "waves",
        sa.Column("number", _number(), autoincrement=True, nullable=False),
        sa.Column("event", _number(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("opened", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_waves")),
    )
    op.create_index(op.f("ix_waves_event"), "waves", ["event"], unique=False)
    op.create_index(op.f("ix_waves_state"), "waves", ["state"], unique=False)
    op.create_index(op.f("ix_waves_opened"), "waves", ["opened"], unique=False)
    op.create_table(
        "wave_members",
        sa.Column("wave", _number(), nullable=False),
        sa.Column("task", sa.String(length=200), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("parents", sa.Text(), nullable=False),
        sa.Column("images", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("run", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["wave"], ["waves.number"], name=op.f("fk_wave_members_wave_waves"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("wave", "task", name=op.f("pk_wave_members")),
    )  # fmt: skip
    op.create_index(op.f("ix_wave_members_run"), "wave_members", ["run"], unique=False)
    # the tasks that are there already are looked at as if they had just been made
    op.execute(
        "INSERT INTO task_scans (task, revision, watching, due, marks, failures, error) "
        "SELECT name, 0, false, 0, 1, 0, '' FROM tasks"
    )
