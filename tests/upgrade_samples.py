"""A store's later version, made up: what the next release could change."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent

from sqlalchemy import Column, MetaData, String, Table, Text

from pipeline.store.answer_store import SCHEMA as ANSWERS
from pipeline.store.outbox_tables import SCHEMA as OUTBOX
from pipeline.store.schema import Schema


def next_answers(folder: Path, body: str = "") -> Schema:
    """Answers with a column more and a note that may be missing, as version 2; `body`: instead."""
    text = (
        body
        or """
        op.add_column("answers", sa.Column("mood", sa.String(8), nullable=False, server_default=""))
        with op.batch_alter_table("answers") as table:
            table.alter_column("note", existing_type=sa.Text(), nullable=True)
    """
    )
    metadata = MetaData()
    for table in ANSWERS.metadata.tables.values():
        table.to_metadata(metadata)
    answers = metadata.tables["answers"]
    answers.append_column(Column("mood", String(8), nullable=False, server_default=""))
    answers.append_column(Column("note", Text), replace_existing=True)
    return _schema(ANSWERS, folder, text, metadata)


def next_outbox(folder: Path) -> Schema:
    """An outbox of which the table that others refer to is rebuilt, as version 2."""
    text = """
        with op.batch_alter_table("outbox_events") as table:
            table.alter_column("scene", existing_type=sa.String(64), type_=sa.String(128))
    """
    metadata = MetaData()
    for table in OUTBOX.metadata.tables.values():
        table.to_metadata(metadata)
    events: Table = metadata.tables["outbox_events"]
    events.append_column(Column("scene", String(128), nullable=False), replace_existing=True)
    return _schema(OUTBOX, folder, text, metadata)


def in_future(schema: Schema) -> Schema:
    """The same tables, as of a version that nobody knows yet."""
    return Schema(schema.component, 99, schema.metadata, schema.migrations)


def _schema(now: Schema, folder: Path, body: str, metadata: MetaData) -> Schema:
    own = folder / now.component
    shutil.copytree(now.revisions, own, ignore=shutil.ignore_patterns("__pycache__"))
    head = "import sqlalchemy as sa\n\nrevision = '0002'\ndown_revision = '0001'\n\n\n"
    lines = dedent(body).strip().splitlines()
    steps = "def upgrade(op):\n" + "".join(f"    {line}\n" for line in lines)
    (own / "v0002_next.py").write_text(head + steps)
    return Schema(now.component, 2, metadata, folder)
