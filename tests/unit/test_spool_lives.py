from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.transport.protocol import Resume
from pipeline.transport.spool_backlog import BACKLOG
from pipeline.transport.spool_settings import SpoolOrder
from tests.spooling_bench import Bench


class Receiver:
    """What the other side knows of each session: wanted, and acked, by stream."""

    def __init__(self) -> None:
        self._wanted: dict[tuple[int, str], int] = {}
        self._acked: dict[tuple[int, str], int] = {}
        self.count = 0

    def take(self, session: int, sent: list[tuple[str, int]]) -> None:
        for stream, sequence in sent:
            assert sequence >= self._wanted.get((session, stream), 0), "twice or out of order"
            self._wanted[session, stream] = sequence + 1
            self.count += 1

    def resume(self, session: int) -> dict[str, Resume]:
        return {
            stream: Resume(wanted, self._acked.get((session, stream), 0))
            for (of, stream), wanted in self._wanted.items()
            if of == session
        }

    def ack(self, session: int, stream: str, held_back: int) -> int | None:
        """The point to ack so that some are held back; None when there is none yet."""
        wanted, acked = (
            self._wanted.get((session, stream), 0),
            self._acked.get((session, stream), 0),
        )
        point = max(wanted - held_back, acked)
        self._acked[session, stream] = point
        return point - 1 if point else None


class Life:
    """A node that is started again and again, against one receiver."""

    def __init__(
        self, folder: Path, cells: int, disk: int, order: SpoolOrder = "oldest_first"
    ) -> None:
        self._folder = folder
        self._order = order
        self._cells, self._disk = cells, disk
        self._ids: list[str] = []
        self.receiver = Receiver()
        self.lost = 0
        self.bench = self._start()

    def _start(self) -> Bench:
        session = f"s{len(self._ids)}"
        self._ids.append(session)
        rules = {"a": "drop_oldest", "b": "block", "c": "drop_newest"}
        bench = Bench(self._folder, self._cells, session, self._disk, self._order, **rules)
        self._lines = [*bench.spooling.earlier, (session, bench.spooling.live)]
        self._rewind(bench)
        return bench

    def _rewind(self, bench: Bench) -> None:
        session, bench.buffer = self._lines[0]
        bench.buffer.rewind(self.receiver.resume(self._ids.index(session)))

    @property
    def _session(self) -> int:
        return self._ids.index(self._lines[0][0])

    def give(self, stream: str, count: int) -> None:
        self.bench.buffer, now = self.bench.spooling.live, self.bench.buffer
        self.bench.give(stream, count)
        self.bench.buffer = now

    def turn(self, seconds: float) -> None:
        self.bench.turn(seconds)

    def send(self, most: int) -> None:
        self.bench.send(most)
        self.receiver.take(self._session, self.bench.wire)
        self.bench.wire.clear()
        if len(self._lines) > 1 and not self._lines[0][1].left:
            self._lines.pop(0)
            self._rewind(self.bench)

    def ack(self, stream: str, held_back: int) -> None:
        for name in (stream, stream + BACKLOG):
            point = self.receiver.ack(self._session, name, held_back)
            if point is not None:
                self.bench.buffer.acked(name, point)

    def lose_link(self) -> None:
        self._rewind(self.bench)

    def restart(self) -> None:
        self._close()
        self.bench = self._start()

    def _close(self) -> None:
        self.bench.end()
        for account in self.bench.ledger.snapshot().values():
            assert account.missing == 0
            self.lost += sum(account.dropped.values())

    def check(self) -> None:
        accounts = self.bench.ledger.snapshot().values()
        assert all(account.missing == 0 for account in accounts)
        assert sum(account.spooled for account in accounts) == self.bench.spooling.left
        assert self.bench.spool.size <= self._disk

    def finish(self) -> None:
        for _ in range(3 * len(self._ids)):
            self.send(100_000)
            for stream in "abc":
                self.ack(stream, 0)
        assert self.bench.spooling.left == 0
        self.turn(1.0)
        assert self.bench.spool.segments == []
        self._close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("give"), st.sampled_from("abc"), st.integers(1, 40)),
        st.tuples(st.just("turn"), st.sampled_from([0.0, 1.0, 6.0])),
        st.tuples(st.just("send"), st.integers(1, 40)),
        st.tuples(st.just("ack"), st.sampled_from("abc"), st.integers(0, 30)),
        st.tuples(st.just("lose_link")),
        st.tuples(st.just("restart")),
    ),
    max_size=40,
)


def lived(
    steps: list[tuple[str, *tuple[object, ...]]],
    cells: int,
    disk: int,
    order: SpoolOrder = "oldest_first",
) -> list[int]:
    """How many samples were given, received and lost when all is over."""
    with tempfile.TemporaryDirectory() as name:
        life = Life(Path(name), cells, disk, order)
        total = 0
        for what, *arguments in steps:
            getattr(life, what)(*arguments)
            life.check()
            total += arguments[1] if what == "give" else 0
        life.finish()
        return [total, life.receiver.count, life.lost]


@settings(max_examples=100, deadline=None)
@given(steps=steps)
def test_with_room_every_sample_comes_once_and_in_order_whatever_happens(
    steps: list[tuple[str, *tuple[object, ...]]],
) -> None:
    total, received, lost = lived(steps, cells=10_000, disk=4 << 20)
    assert (received, lost) == (total, 0)


@settings(max_examples=100, deadline=None)
@given(steps=steps)
def test_without_room_what_does_not_come_is_a_loss_in_the_books(
    steps: list[tuple[str, *tuple[object, ...]]],
) -> None:
    # One that came and was not acked before memory let go of it may be in the books as lost.
    total, received, lost = lived(steps, cells=30, disk=40_000)
    assert total - lost <= received <= total


@settings(max_examples=100, deadline=None)
@given(steps=steps)
def test_with_what_is_new_first_nothing_is_lost_either(
    steps: list[tuple[str, *tuple[object, ...]]],
) -> None:
    total, received, lost = lived(steps, 10_000, 4 << 20, "live_first")
    assert received >= total  # what a crash left may come twice, as backlog
    assert lost == 0


@settings(max_examples=100, deadline=None)
@given(steps=steps)
def test_with_what_is_new_first_and_without_room_the_books_are_right(
    steps: list[tuple[str, *tuple[object, ...]]],
) -> None:
    total, received, lost = lived(steps, 30, 40_000, "live_first")
    assert received >= total - lost
