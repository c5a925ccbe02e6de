"""Two fusion nodes claim one scene of a shared PostgreSQL store: one of them has it."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pipeline.store import FusionStore
from pipeline.store.fusion_tables import LEASES
from pipeline.store.leases import LEASE_S
from tests.system.fusion_process import FusionProcess
from tests.system.ports import free_port
from tests.system.postgres import Postgres

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

DEPLOYMENT = """
name: home
nodes: {{hall: {{sources: [{{type: csv_file, stream: log, path: log.csv}}]}}}}
scenes: {{hall: {{streams: [log]}}}}
fusion:
  listen: tcp://127.0.0.1:{port}
  store: {url}
  standby: {standby}
"""


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="fusewatch-postgres-"))  # its user must get there
    try:
        with Postgres(folder / "server") as server:
            yield server
    finally:
        shutil.rmtree(folder)


def site(folder: Path, url: str, *, standby: bool = False) -> Path:
    folder.mkdir()
    config = folder / "d.yaml"
    text = DEPLOYMENT.format(port=free_port(), url=url, standby=str(standby).lower())
    config.write_text(text)
    return config


def tokens(store: FusionStore) -> list[int]:
    with store.leases._database.read() as connection:
        return list(connection.execute(select(LEASES.c.token)).scalars())


def test_the_second_is_refused_a_third_takes_over_and_the_first_does_no_harm_when_it_wakes(
    postgres: Postgres, tmp_path: Path
) -> None:
    first = FusionProcess(site(tmp_path / "one", postgres.url))
    second = FusionProcess(site(tmp_path / "two", postgres.url))
    third = FusionProcess(site(tmp_path / "three", postgres.url, standby=True))
    with first, closing(FusionStore(postgres.url)) as store:
        first.wait_for("listening")
        second.start()
        with third:
            assert second.wait() == 69
            told = second.lines("node failed")[0]["error"]
            assert "scene hall is fused by fusion of home on" in told
            assert "fusewatch@" not in told
            assert "scene hall is fused by" in third.wait_for("standing by")["because"]
            first.send(signal.SIGSTOP)
            with store.leases._database.write() as connection:  # what time does, in no time
                old = LEASES.c.renewed_s - LEASE_S
                connection.execute(update(LEASES).values(renewed_s=old))
            third.wait_for("listening")
            first.send(signal.SIGCONT)
            assert first.wait() == 69
            assert "scene hall is fused by" in first.lines("node failed")[0]["error"]
            assert tokens(store) == [2]
            third.send(signal.SIGTERM)
            assert third.wait() == 0
