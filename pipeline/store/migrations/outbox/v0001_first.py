"""Version 1: the tables of the first release.

Some of them came one by one before it, so that each is made only where it is missing.
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
        "outbox_events",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(96), nullable=False, unique=True),
        sa.Column("scene", sa.String(64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        if_not_exists=True,
    )
    _make_deliveries(op)
    op.create_table(
        "outbox_incidents",
        sa.Column("sink", sa.String(128), primary_key=True),
        sa.Column("incident", sa.String(64), primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "outbox_told",
        sa.Column("event", _POSITION, primary_key=True, autoincrement=False),
        sa.Column("sink", sa.String(128), primary_key=True),
        sa.Column("body", sa.Text(), nullable=False),
        if_not_exists=True,
    )


def _make_deliveries(op: Operations) -> None:
    op.create_table(
        "outbox_deliveries",
        sa.Column("id", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("event", _POSITION, sa.ForeignKey("outbox_events.position"), nullable=False),
        sa.Column("scene", sa.String(64), nullable=False),
        sa.Column("sink", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.Column("next_ns", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.UniqueConstraint("event", "sink"),
        if_not_exists=True,
    )
    heads = ["sink", "state", "scene", "event"]
    op.create_index("outbox_deliveries_heads", "outbox_deliveries", heads, if_not_exists=True)
    op.create_table(
        "outbox_digests",
        sa.Column("delivery", _POSITION, primary_key=True, autoincrement=False),
        sa.Column("key", sa.String(64), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_outbox_digests_key", "outbox_digests", ["key"], if_not_exists=True)
    op.create_table(
        "outbox_holds",
        sa.Column("delivery", _POSITION, primary_key=True, autoincrement=False),
        sa.Column("until_ns", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_outbox_holds_until_ns", "outbox_holds", ["until_ns"], if_not_exists=True)
