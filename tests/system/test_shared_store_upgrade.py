"""A store on a real PostgreSQL server is brought to the next version, by several at once."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.core.errors import StoreError
from pipeline.store import Answer, AnswerStore, FusionStore, OutboxStore, ScoreHistory
from pipeline.store.answer_store import SCHEMA as ANSWERS
from pipeline.store.answer_store import Action
from pipeline.store.database import Database
from pipeline.store.fusion_tables import SCHEMA as FUSION
from pipeline.store.outbox_tables import SCHEMA as OUTBOX
from pipeline.store.score_history import SCHEMA as HISTORY
from pipeline.store.upgrading import differences, upgrade
from tests.system.postgres import Postgres
from tests.upgrade_samples import next_answers

pytestmark = [pytest.mark.system]

AT_ONCE = 4


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="fusewatch-postgres-"))  # its user must get there
    try:
        with Postgres(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder)


def at_once(work) -> list[Exception]:
    """Failures of several threads that do the same."""
    failed: list[Exception] = []
    ready = threading.Barrier(AT_ONCE)

    def run() -> None:
        ready.wait()
        try:
            work()
        except Exception as error:  # told to the test
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def test_a_shared_database_is_made_checked_upgraded_and_refused_like_a_file(
    postgres: Postgres, tmp_path: Path
) -> None:
    for make in (FusionStore, OutboxStore, AnswerStore, ScoreHistory):
        assert at_once(lambda make=make: make(postgres.url).close()) == []
    with closing(Database(postgres.url, FUSION)) as opened, opened.write() as connection:
        for schema in (FUSION, OUTBOX, ANSWERS, HISTORY):
            assert differences(connection, schema) == []
            schema.metadata.drop_all(connection)
            upgrade(connection, schema, 1)
            assert differences(connection, schema) == []
    with closing(AnswerStore(postgres.url)) as store:
        store.add(Answer("e1", "hall", Action.SEEN, "", "a note", "Ann", 7))

    broken = next_answers(tmp_path / "broken", "op.drop_table('answers')\nop.execute('nonsense')")
    with pytest.raises(StoreError, match="nonsense"):
        Database(postgres.url, broken)
    later = next_answers(tmp_path / "next")
    assert at_once(lambda: Database(postgres.url, later).close()) == []
    with closing(Database(postgres.url, later)) as opened, opened.read() as connection:
        assert differences(connection, later) == []
        assert connection.execute(text("SELECT note, mood FROM answers")).all() == [("a note", "")]
    with pytest.raises(StoreError, match=r"version 2, .* version 1 .*upgrade fusewatch"):
        AnswerStore(postgres.url)
