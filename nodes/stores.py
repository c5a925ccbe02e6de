"""The databases of a deployment: which there are, of which version, and copies of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nodes.places import has_fusion_store, outbox_file, shared_by_workers
from pipeline.config.deployment import Deployment
from pipeline.core.errors import StoreError
from pipeline.store.answer_store import SCHEMA as ANSWERS
from pipeline.store.copying import copy_store
from pipeline.store.database import Database
from pipeline.store.fusion_tables import SCHEMA as FUSION
from pipeline.store.outbox_tables import SCHEMA as OUTBOX
from pipeline.store.schema import Schema, Standing
from pipeline.store.score_history import SCHEMA as HISTORY


@dataclass(frozen=True, slots=True)
class Kept:
    """One database that is there.

    Attributes:
        target: Its file or its URL.
        schema: What it should hold.
    """

    target: Path | str
    schema: Schema

    @property
    def name(self) -> str:
        """Name of what it holds."""
        return self.schema.component


@dataclass(frozen=True, slots=True)
class StoreReport:
    """What a database is.

    Attributes:
        store: Name of what it holds.
        where: File, or URL without its password.
        version: Version of its tables; None where none is written down.
        reads: The version that this fusewatch reads.
        standing: How the one stands to the other.
        size: Bytes of its file and its log; None of a server's.
    """

    store: str
    where: str
    version: int | None
    reads: int
    standing: Standing
    size: int | None


def stores_here(deployment: Deployment) -> Iterator[Kept]:
    """Databases that are there, in the order in which they are to be copied.

    Who hands something on comes before who takes it: restored, the alert node may then know an
    event that the fusion node hands on again, which it takes once, but never miss one.
    """
    shared = deployment.fusion.store
    if has_fusion_store(deployment):
        target = shared.get_secret_value() if shared else deployment.data / "fusion.db"
        yield Kept(target, FUSION)
    workers = shared_by_workers(deployment)
    if workers is not None:
        yield Kept(workers, ANSWERS)
        yield Kept(workers, HISTORY)
    for file, schema in (
        (deployment.data / "answers.db", ANSWERS),
        (outbox_file(deployment), OUTBOX),
        (deployment.data / "history.db", HISTORY),
    ):
        if file.exists():
            yield Kept(file, schema)


def report_on(kept: Kept) -> StoreReport:
    """What a database is; changes nothing.

    Raises:
        StoreError: It cannot be opened or is damaged.
    """
    with closing(Database(kept.target, kept.schema, create=False, any_version=True)) as opened:
        found = opened.found
        size = None
        if opened.file is not None:
            log = opened.file.with_name(opened.file.name + "-wal")
            size = sum(path.stat().st_size for path in (opened.file, log) if path.exists())
        reads = kept.schema.version
        return StoreReport(kept.name, opened.where, found.version, reads, found.standing, size)


def back_up(kept: Kept, folder: Path) -> Path:
    """Copy a database of one file, whole, while others may write to it; the copy.

    Raises:
        StoreError: It is a server's, has a copy there, or cannot be copied.
    """
    with closing(Database(kept.target, kept.schema, create=False, any_version=True)) as opened:
        file, where = opened.file, opened.where
    if file is None:
        raise StoreError(
            f"the {kept.name} store is on a server, of which no file can be copied",
            where=where,
            fix="back it up with pg_dump, before the files of this folder",
        )
    copy = folder / file.name
    if copy.exists():
        raise StoreError("is there already", where=str(copy), fix="name another folder")
    copy_store(file, copy)
    return copy
