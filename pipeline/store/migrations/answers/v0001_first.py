"""Version 1: the tables of the first release.

One of them came later than the other, so that each is made only where it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0001"
down_revision = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Make what is missing."""
    op.create_table(
        "answers",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("scene", sa.String(64), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("value", sa.String(32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_ns", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_by", sa.String(128), nullable=False),
        if_not_exists=True,
    )
    op.create_index("answers_event", "answers", ["event", "position"], if_not_exists=True)
    op.create_table(
        "answers_handed",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        if_not_exists=True,
    )
