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
_STATES = ("fusion_scoring", "fusion_sight", "fusion_evidence")


def upgrade(op: Operations) -> None:
    """Make what is missing."""
    op.create_table(
        "fusion_scenes",
        sa.Column("scene", sa.String(64), primary_key=True),
        sa.Column("next_window", sa.BigInteger(), nullable=False),
        sa.Column("alarm", sa.LargeBinary(), nullable=False),
        if_not_exists=True,
    )
    for name in _STATES:
        op.create_table(
            name,
            sa.Column("scene", sa.String(64), primary_key=True),
            sa.Column("state", sa.LargeBinary(), nullable=False),
            if_not_exists=True,
        )
    op.create_table(
        "fusion_hops",
        sa.Column("scene", sa.String(64), primary_key=True),
        sa.Column("hop_ns", sa.BigInteger(), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "fusion_resume",
        sa.Column("node", sa.String(64), primary_key=True),
        sa.Column("session", sa.String(64), primary_key=True),
        sa.Column("stream", sa.String(255), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("age", sa.BigInteger(), nullable=False),
        if_not_exists=True,
    )
    _make_events(op)
    _make_what_events_carry(op)
    op.create_table(
        "fusion_leases",
        sa.Column("scene", sa.String(64), primary_key=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("since_s", sa.Double(), nullable=False),
        sa.Column("renewed_s", sa.Double(), nullable=False),
        if_not_exists=True,
    )
    _make_what_a_cluster_keeps(op)


def _make_events(op: Operations) -> None:
    op.create_table(
        "fusion_events",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("scene", sa.String(64), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("forwarded", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("id", "revision"),
        if_not_exists=True,
    )
    op.create_index("fusion_events_time", "fusion_events", ["scene", "end_ns"], if_not_exists=True)
    waiting = sa.column("forwarded", sa.Boolean()) == sa.false()
    op.create_index(
        "fusion_events_waiting",
        "fusion_events",
        ["position"],
        sqlite_where=waiting,
        postgresql_where=waiting,
        if_not_exists=True,
    )


def _make_what_events_carry(op: Operations) -> None:
    op.create_table(
        "fusion_seals",
        sa.Column("event", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "fusion_held",
        sa.Column("event", sa.String(64), primary_key=True),
        sa.Column("cause", sa.String(64), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        if_not_exists=True,
    )


def _make_what_a_cluster_keeps(op: Operations) -> None:
    op.create_table(
        "fusion_directory",
        sa.Column("scene", sa.String(64), primary_key=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("public", sa.Text(), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "cluster_wishes",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "cluster_sights",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("seen_s", sa.Double(), nullable=False),
        if_not_exists=True,
    )
