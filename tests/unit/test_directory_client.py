"""Finding the worker: what is followed of what directories say, over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.core.errors import TransportError
from pipeline.transport.directory_client import Place, WorkerFinder
from pipeline.transport.directory_messages import Here, Nowhere
from pipeline.transport.directory_server import DirectoryServer
from pipeline.transport.key_store import KeyStore, Role
from pipeline.transport.security import CurveServer, curve_client
from tests.waiting import wait_until

NOBODY = Nowhere("nobody fuses hall now")


class Answering:
    """A directory whose answer a test sets."""

    def __init__(self, curve: CurveServer | None = None) -> None:
        self.answer: Here | Nowhere = NOBODY
        self.asked: list[str] = []
        self.server = DirectoryServer("tcp://127.0.0.1:0", self._where, curve=curve)
        self.address = self.server.address
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _where(self, node: str) -> Here | Nowhere:
        self.asked.append(node)
        return self.answer

    def _run(self) -> None:
        while not self._ended.is_set():
            self.server.poll(0.02)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self.server.close()


@contextmanager
def answering(curve: CurveServer | None = None) -> Iterator[Answering]:
    directory = Answering(curve)
    try:
        yield directory
    finally:
        directory.end()


@contextmanager
def started(finder: WorkerFinder) -> Iterator[WorkerFinder]:
    finder.start(lambda: None)
    try:
        yield finder
    finally:
        finder.close()


def test_it_asks_until_somebody_knows_and_again_when_the_place_is_lost() -> None:
    with answering() as directory, started(WorkerFinder("pi", [directory.address])) as finder:
        wait_until(lambda: len(directory.asked) >= 2, 10)
        assert finder.place is None
        assert "nobody fuses hall now" in finder.trouble
        directory.answer = Here("tcp://127.0.0.1:1", "", 3)
        wait_until(lambda: finder.place is not None, 10)
        assert finder.place == Place("tcp://127.0.0.1:1", "", 3)
        directory.answer = Here("tcp://127.0.0.1:2", "", 4)
        finder.ask()
        wait_until(lambda: finder.place == Place("tcp://127.0.0.1:2", "", 4), 10)
        directory.answer = Here("tcp://127.0.0.1:1", "", 3)
        asked = len(directory.asked)
        finder.ask()
        wait_until(lambda: len(directory.asked) > asked + 1, 10)
        assert finder.place == Place("tcp://127.0.0.1:2", "", 4), "what is older is not followed"
        assert finder.counters["outdated"] > 0
        assert set(directory.asked) == {"pi"}


def test_it_asks_in_any_case_now_and_then() -> None:
    with answering() as directory:
        directory.answer = Here("tcp://127.0.0.1:1", "", 1)
        with started(WorkerFinder("pi", [directory.address], every_s=0.05)):
            wait_until(lambda: len(directory.asked) > 3, 10)


def test_the_next_directory_is_asked_when_one_does_not_know() -> None:
    with answering() as first, answering() as second:
        second.answer = Here("tcp://127.0.0.1:1", "", 1)
        with started(WorkerFinder("pi", [first.address, second.address])) as finder:
            wait_until(lambda: finder.place is not None, 10)
        assert first.asked


def test_an_address_that_is_none_is_refused_and_no_harm_is_done() -> None:
    with pytest.raises(TransportError):
        WorkerFinder("pi", ["nowhere"])
    with answering() as directory, started(WorkerFinder("pi", [directory.address])) as finder:
        directory.answer = Here("nowhere", "", 1)
        wait_until(lambda: "cannot connect" in finder.trouble, 10)
        assert finder.place is None


def test_with_keys_a_node_asks_for_itself_only_and_follows_to_no_stranger(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    fusion = keys.create("fusion", Role.FUSION)
    for node in ("pi", "hut"):
        keys.create(node, Role.CAPTURE)

    def finder(key: str, node: str) -> WorkerFinder:
        curve = curve_client(tmp_path, key, Role.CAPTURE, Role.FUSION)
        trusted = {key.public for key in keys.peers(Role.FUSION)}
        return WorkerFinder(
            node, [directory.address], curve=curve, trusts=lambda key: key in trusted
        )

    with answering(CurveServer(keys, "fusion", Role.FUSION, Role.CAPTURE)) as directory:
        directory.answer = Here("tcp://127.0.0.1:1", "x" * 40, 1)
        with started(finder("pi", "pi")) as own:
            wait_until(lambda: "whose key is not trusted here" in own.trouble, 10)
            directory.answer = Here("tcp://127.0.0.1:1", fusion.public, 2)
            wait_until(lambda: own.place is not None, 10)
        with started(finder("hut", "pi")) as other:
            wait_until(lambda: "the key belongs to hut" in other.trouble, 10)
        assert other.place is None
