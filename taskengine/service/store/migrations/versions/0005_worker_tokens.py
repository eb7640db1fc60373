"""A worker's token speaks for one worker only. Those that there are by now are bound when they are next used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("tokens", sa.Column("worker", sa.String(length=200), server_default="", nullable=False))
