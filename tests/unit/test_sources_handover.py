"""The queue and the wire between a reader and its supervisor."""

from __future__ import annotations

import socket
import threading
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ProtocolError
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.handover import (
    Alive,
    Announced,
    Batch,
    Ended,
    Handover,
    Lost,
    Opened,
    Rejected,
)
from pipeline.sources.reader_wire import PREFIX, MessageReader, send
from tests.waiting import wait_until


def sample(number: int, size: int = 1, stream: str = "s") -> Sample:
    return Sample(stream, 0, number, np.full(size, number % 251, np.uint8), Encoding.RAW)


def take_all(handover: Handover) -> list[object]:
    messages = []
    while (message := handover.take(0.0)) is not None:
        messages.append(message)
    return messages


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 40)), max_size=60))
def test_every_sample_is_either_given_or_counted(sizes):
    handover = Handover(waits=False, max_samples=10, max_bytes=100)
    put: Counter[str] = Counter()
    for number, (stream, size) in enumerate(sizes):
        handover.put(Batch((sample(number, size, stream),)))
        put[stream] += 1
    handover.close()
    got: Counter[str] = Counter()
    numbers = []
    for message in take_all(handover):
        if isinstance(message, Rejected):
            assert message.reason is DropReason.READER_OVERRUN
            got[message.stream] += message.count
        else:
            got[message.samples[0].stream] += 1
            numbers.append(message.samples[0].timestamp_ns)
    assert got == put
    assert numbers == list(range(len(sizes) - len(numbers), len(sizes)))
    assert handover.finished


def test_other_messages_survive_when_samples_give_way():
    handover = Handover(waits=False, max_samples=1)
    handover.put(Opened(()))
    for number in range(5):
        handover.put(Batch((sample(number),)))
    handover.put(Lost("gone"))
    kinds = [type(m) for m in take_all(handover)]
    assert kinds == [Rejected, Opened, Batch, Lost]


def test_a_queue_that_waits_holds_the_reader_and_loses_nothing():
    handover = Handover(waits=True, max_samples=2)
    done = threading.Event()

    def fill():
        for number in range(20):
            handover.put(Batch((sample(number),)))
        done.set()

    threading.Thread(target=fill, daemon=True).start()
    numbers: list[int] = []
    wait_until(lambda: not done.is_set())
    while len(numbers) < 20:
        message = handover.take(5.0)
        assert isinstance(message, Batch)
        numbers.append(message.samples[0].timestamp_ns)
    assert done.wait(5.0)
    assert numbers == list(range(20))


def test_closing_frees_a_reader_that_waits():
    handover = Handover(waits=True, max_samples=1)
    handover.put(Batch((sample(1),)))
    freed = threading.Event()

    def put():
        handover.put(Batch((sample(2),)))
        freed.set()

    threading.Thread(target=put, daemon=True).start()
    handover.close()
    assert freed.wait(5.0)


def test_signs_of_life_do_not_pile_up():
    handover = Handover(waits=False)
    for _ in range(10):
        handover.put(Alive())
    assert take_all(handover) == [Alive()]


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_text_that_is_no_utf8_goes_over_as_what_it_is_sent_on_as(pair):
    said = Sample("log", 0, 0, "washing done \ud83d", Encoding.UTF8)
    assert said.nbytes == len("washing done ?")
    send(pair[0], Batch((said,)))
    assert MessageReader(pair[1]).read(1.0).samples[0].data == "washing done ?"


@pytest.mark.parametrize(
    "message",
    [
        Opened((StreamInfo("v", Modality.VIDEO, 10.0, (4, 5, 3), "uint8", stamp="grab"),)),
        Announced((StreamInfo("v", Modality.VIDEO, 10.0, (4, 5, 3), "uint8", stamp="sender"),)),
        Rejected("v", DropReason.CORRUPT, "no EOI", 3),
        Lost("cable"),
        Ended(),
        Alive(),
    ],
)
def test_messages_come_back_as_they_were(pair, message):
    left, right = pair
    send(left, message)
    assert MessageReader(right).read(5.0) == message


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (np.arange(60, dtype=np.uint8).reshape(4, 5, 3), Encoding.RAW),
        (np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[:, ::2], Encoding.RAW),
        (np.arange(10, dtype=np.int16).reshape(-1, 2), Encoding.PCM),
        (np.array([1.5, np.nan]), Encoding.FLOAT),
        (np.empty((0, 1), np.int16), Encoding.PCM),
        (b"\xff\xd8 jpeg \xff\xd9", Encoding.JPEG),
        ("größer", Encoding.UTF8),
    ],
)
def test_samples_come_back_as_they_were(pair, data, encoding):
    left, right = pair
    sent = Sample("s", 0, 1_700_000_000_123_456_789, data, encoding, 55, 2, 10**12)
    send(left, Batch((sent,)))
    (got,) = MessageReader(right).read(5.0).samples
    fields = ("stream", "timestamp_ns", "encoding", "uncertainty_ns", "epoch", "position")
    assert [getattr(got, f) for f in fields] == [getattr(sent, f) for f in fields]
    if isinstance(data, np.ndarray):
        assert got.data.dtype == data.dtype
        np.testing.assert_array_equal(got.data, data)
    else:
        assert got.data == data


def test_large_payloads_cross_whole_while_the_reader_polls(pair):
    left, right = pair
    frames = [sample(n, 3_000_000) for n in range(5)]
    writer = threading.Thread(target=lambda: [send(left, Batch((f,))) for f in frames])
    writer.start()
    reader, got = MessageReader(right), []
    while len(got) < 5:
        if (message := reader.read(0.001)) is not None:
            got.append(message.samples[0])
    writer.join()
    for sent, received in zip(frames, got, strict=True):
        np.testing.assert_array_equal(sent.data, received.data)


def test_a_message_cut_off_by_a_killed_reader_is_never_given_out(pair):
    left, right = pair
    send(left, Alive())
    left.sendall(PREFIX.pack(1000, 0) + b"half")
    left.close()
    reader = MessageReader(right)
    assert reader.read(5.0) == Alive()
    with pytest.raises(EOFError):
        reader.read(5.0)


def test_bytes_that_are_no_message_are_refused(pair):
    left, right = pair
    left.sendall(PREFIX.pack(3, 0) + b"\xc1\xc1\xc1")
    with pytest.raises(ProtocolError, match="header"):
        MessageReader(right).read(5.0)
