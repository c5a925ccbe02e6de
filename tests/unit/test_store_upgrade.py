from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pipeline.core.errors import StoreError
from pipeline.store import Answer, AnswerStore, FusionStore, OutboxStore
from pipeline.store.answer_store import SCHEMA as ANSWERS
from pipeline.store.answer_store import Action
from pipeline.store.database import Database
from pipeline.store.fusion_tables import SCHEMA as FUSION
from pipeline.store.outbox_tables import SCHEMA as OUTBOX
from pipeline.store.schema import Schema, Standing, look
from pipeline.store.score_history import SCHEMA as HISTORY
from pipeline.store.upgrading import differences, revisions, upgrade
from tests.event_samples import event
from tests.upgrade_samples import in_future, next_answers, next_outbox

ALL = (FUSION, OUTBOX, ANSWERS, HISTORY)
SAID = Answer("e1", "hall", Action.SEEN, "", "a note", "Ann", 7)

by_component = pytest.mark.parametrize("schema", ALL, ids=lambda schema: schema.component)


def answers_file(folder: Path) -> Path:
    file = folder / "answers.db"
    with closing(AnswerStore(file)) as store:
        store.add(SAID)
    return file


def version_of(file: Path, component: str = "answers") -> int:
    with closing(sqlite3.connect(file)) as raw:
        wanted = "SELECT version FROM fusewatch_schema WHERE component = ?"
        return raw.execute(wanted, (component,)).fetchone()[0]


@by_component
def test_the_revisions_make_exactly_the_tables_that_are_described(schema: Schema) -> None:
    with create_engine("sqlite://").connect() as connection:
        upgrade(connection, schema, 1)
        assert differences(connection, schema) == [], (
            f"changed tables need a revision in {schema.revisions}; those that come before the "
            "first release, a line in v0001_first.py"
        )


@by_component
def test_the_last_revision_leads_to_the_version_of_the_code(schema: Schema) -> None:
    assert len(revisions(schema)) == schema.version


@by_component
def test_revisions_are_indexed_and_constrained_like_what_a_new_store_gets(schema: Schema) -> None:
    """Beyond Alembic's comparison: partial indices, keys and what SQLite itself wrote down."""
    made = []
    for make in (schema.metadata.create_all, lambda c: upgrade(c, schema, 1)):
        with create_engine("sqlite://").connect() as connection:
            make(connection)
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master"))
            made.append({name: _plain(sql) for name, sql in rows})
    assert made[0] == made[1]


def _plain(sql: str | None) -> list[str]:
    words = (sql or "").replace(",", " ").replace("(", " ( ").replace(")", " ) ").split()
    return sorted(words)


def test_a_difference_is_told_in_words(tmp_path: Path) -> None:
    with create_engine("sqlite://").connect() as connection:
        upgrade(connection, ANSWERS, 1)
        connection.execute(text("ALTER TABLE answers DROP COLUMN note"))
        connection.execute(text("CREATE TABLE of_others (x INTEGER)"))
        (told,) = differences(connection, ANSWERS)
    assert "note" in told


def test_an_older_store_is_upgraded_when_it_is_opened_and_a_copy_stays(tmp_path: Path) -> None:
    file = answers_file(tmp_path)
    later = next_answers(tmp_path / "next")
    with closing(Database(file, later)) as opened:
        with opened.read() as connection:
            assert connection.execute(text("SELECT note, mood FROM answers")).all() == [
                ("a note", "")
            ]
            assert differences(connection, later) == []
        assert opened.copy == tmp_path / "answers.db.version-1.bak"
    assert version_of(file) == 2
    assert opened.copy.stat().st_mode & 0o777 == 0o600
    with closing(AnswerStore(opened.copy, create=False)) as before:
        assert [answer.note for answer in before.all()] == ["a note"]


def test_opening_it_again_changes_nothing_and_copies_nothing(tmp_path: Path) -> None:
    file, later = answers_file(tmp_path), next_answers(tmp_path / "next")
    Database(file, later).close()
    with closing(Database(file, later)) as again:
        assert again.copy is None
    assert len(list(tmp_path.glob("*.bak"))) == 1


def test_a_copy_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    file, later = answers_file(tmp_path), next_answers(tmp_path / "next")
    (tmp_path / "answers.db.version-1.bak").write_text("precious")
    with closing(Database(file, later)) as opened:
        assert opened.copy == tmp_path / "answers.db.version-1.2.bak"
    assert (tmp_path / "answers.db.version-1.bak").read_text() == "precious"


def test_a_table_that_others_refer_to_is_rebuilt_and_loses_none_of_them(tmp_path: Path) -> None:
    file = tmp_path / "alert.db"
    with closing(OutboxStore(file)) as store:
        store.accept(event(), ["web", "mqtt"])
    with closing(Database(file, next_outbox(tmp_path / "next"))) as opened, opened.read() as rows:
        assert rows.execute(text("SELECT count(*) FROM outbox_deliveries")).scalar() == 2
        assert rows.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_revision_that_would_leave_rows_that_refer_to_nothing_changes_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "alert.db"
    with closing(OutboxStore(file)) as store:
        store.accept(event(), ["web"])
    later = next_outbox(tmp_path / "next")
    revision = later.revisions / "v0002_next.py"
    revision.write_text(revision.read_text() + "    op.execute('DELETE FROM outbox_events')\n")
    with pytest.raises(StoreError, match="would refer to nothing; nothing was changed"):
        Database(file, later)
    with closing(OutboxStore(file, create=False)) as same:
        assert same.due("web", 0) is not None


def test_one_that_fails_halfway_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    file = answers_file(tmp_path)
    broken = "op.execute('DELETE FROM answers')\nop.execute('SELECT * FROM no_such_table')"
    with pytest.raises(StoreError, match="no_such_table") as caught:
        Database(file, next_answers(tmp_path / "next", broken))
    assert str(file) in str(caught.value)
    assert version_of(file) == 1
    with closing(AnswerStore(file)) as same:
        assert len(same.all()) == 1


def test_one_that_cannot_be_copied_first_is_not_upgraded(tmp_path: Path, monkeypatch) -> None:
    file, later = answers_file(tmp_path), next_answers(tmp_path / "next")
    monkeypatch.setattr(
        "pipeline.store.database.copy_beside",
        lambda *_: (_ for _ in ()).throw(StoreError("cannot be copied", fix="make room")),
    )
    with pytest.raises(StoreError, match="cannot be copied"):
        Database(file, later)
    assert version_of(file) == 1


def test_a_reader_refuses_an_older_store_says_what_to_do_and_changes_nothing(
    tmp_path: Path,
) -> None:
    file, later = answers_file(tmp_path), next_answers(tmp_path / "next")
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"version 1, .* version 2 .*store upgrade") as caught:
        Database(file, later, create=False)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_store_is_refused_and_left_alone(tmp_path: Path, create: bool) -> None:
    file = tmp_path / "answers.db"
    Database(file, in_future(ANSWERS)).close()
    before = file.read_bytes()
    with pytest.raises(StoreError, match=r"version 99, .* version 1 .*upgrade fusewatch") as told:
        AnswerStore(file, create=create)
    assert told.value.exit_code == 78, "so that nobody starts it again and again"
    assert file.read_bytes() == before


def test_one_of_a_version_that_nothing_leads_on_from_is_refused_unharmed(tmp_path: Path) -> None:
    file = answers_file(tmp_path)
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("UPDATE fusewatch_schema SET version = 0")
        raw.commit()
    with pytest.raises(StoreError, match="nothing leads from there to version 1"):
        AnswerStore(file)
    assert version_of(file) == 0


def test_tables_made_without_a_version_are_taken_in_once_they_are_checked(tmp_path: Path) -> None:
    file = answers_file(tmp_path)
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("DROP TABLE fusewatch_schema")
        raw.commit()
    with closing(AnswerStore(file)) as store:
        assert len(store.all()) == 1
    assert version_of(file) == 1


def test_tables_of_the_same_name_that_are_of_another_program_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.db"
    with closing(sqlite3.connect(file)) as raw:
        raw.execute("CREATE TABLE answers (question TEXT, answer TEXT)")
        raw.commit()
    with pytest.raises(StoreError, match=r"of no known version: .*another program"):
        AnswerStore(file)
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("answers",)]


def test_each_component_of_one_file_has_its_own_version(tmp_path: Path) -> None:
    file = tmp_path / "one.db"
    FusionStore(file).close()
    with closing(AnswerStore(file)) as store:
        store.add(SAID)
    Database(file, next_answers(tmp_path / "next")).close()
    assert (version_of(file), version_of(file, "fusion")) == (2, 1)
    FusionStore(file).close()


def _open(file: Path, schema: Schema, ready, told) -> None:
    ready.wait()
    with closing(Database(file, schema)) as opened, opened.read() as connection:
        standing = look(connection, schema).standing
        told.put((standing, opened.copy is not None))


def test_two_processes_that_open_it_at_once_upgrade_it_once(tmp_path: Path) -> None:
    file, later = answers_file(tmp_path), next_answers(tmp_path / "next")
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(2), context.Queue()
    both = [context.Process(target=_open, args=(file, later, ready, told)) for _ in range(2)]
    for one in both:
        one.start()
    seen = [told.get(timeout=60) for _ in both]
    for one in both:
        one.join()
    assert [standing for standing, _ in seen] == [Standing.CURRENT] * 2
    assert sorted(copied for _, copied in seen) == [False, True]


def test_one_that_is_killed_halfway_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    file = answers_file(tmp_path)
    died = "op.execute('DELETE FROM answers')\nimport os; os.kill(os.getpid(), 9)"
    context = multiprocessing.get_context("spawn")
    ready, told = context.Barrier(1), context.Queue()
    schema = next_answers(tmp_path / "died", died)
    child = context.Process(target=_open, args=(file, schema, ready, told))
    child.start()
    child.join(60)
    assert child.exitcode == -9
    assert version_of(file) == 1
    with closing(Database(file, next_answers(tmp_path / "next"))) as opened:
        with opened.read() as connection:
            assert connection.execute(text("SELECT note FROM answers")).all() == [("a note",)]
        assert opened.copy == tmp_path / "answers.db.version-1.2.bak"


def test_alembic_is_not_imported_to_make_or_open_a_store_of_today(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pipeline.store import FusionStore as Store;"
        f"file = Path({str(tmp_path / 'fusion.db')!r}); Store(file).close(); Store(file).close();"
        "print([m for m in sys.modules if m.startswith(('alembic', 'mako'))])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stdout.decode().strip() == "[]"
