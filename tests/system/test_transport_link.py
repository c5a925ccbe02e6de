from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import zmq

from pipeline.core.arrival import LedgerReport, SampleArrived, StreamEnded, StreamOpened
from pipeline.core.clock import NodeClock
from pipeline.core.ledger import Ledger, StreamAccount
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.protocol import Data, Refusal, Refused, decode, encode
from pipeline.transport.receiver import Receiver
from pipeline.transport.sender import Sender

pytestmark = pytest.mark.system

VIB = StreamInfo("vib", Modality.SENSOR, 100.0, (3,), "float64")
CAM = StreamInfo("cam", Modality.VIDEO, 30.0, (200, 200, 3), "uint8")
CLOCK = NodeClock()


def until(condition: Callable[[], object], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    gate = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        gate.wait(0.01)
    return True


class Pump:
    """Polls a receiver from a thread of its own, keeps what arrived, acks it if told to."""

    def __init__(self, receiver: Receiver, *, ack: bool = True) -> None:
        self.receiver = receiver
        self.ack = ack
        self.running = threading.Event()
        self.running.set()
        self.arrivals: list = []
        self._closing = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self.running.wait(0.1)
            if not self.running.is_set():
                continue
            acks: dict[str, dict[str, int]] = {}
            for item in self.receiver.poll(0.05):
                self.arrivals.append(item)
                if isinstance(item, SampleArrived):
                    acks.setdefault(item.node, {})[item.sample.stream] = item.sample.sequence
            for node, sequences in acks.items():
                if self.ack:
                    self.receiver.ack(node, sequences)

    def samples(self, stream: str) -> list[Sample]:
        return [
            a.sample
            for a in list(self.arrivals)
            if isinstance(a, SampleArrived) and a.sample.stream == stream
        ]

    def of(self, kind: type) -> list:
        return [a for a in list(self.arrivals) if isinstance(a, kind)]

    def close(self) -> None:
        self._closing = True
        self._thread.join()
        self.receiver.close()


@contextmanager
def link(
    node: str = "n1", *, ack: bool = True, sender: dict | None = None, **options: object
) -> Iterator[tuple[Sender, Pump, Ledger]]:
    pump = Pump(Receiver("tcp://127.0.0.1:0", clock=CLOCK, **options), ack=ack)
    ledger = Ledger()
    sending = Sender(
        node,
        pump.receiver.address,
        clock=CLOCK,
        ledger=ledger,
        **{"clock_sync": False, **(sender or {})},
    )
    try:
        yield sending, pump, ledger
    finally:
        sending.close()
        pump.close()


def last_account(pump: Pump) -> StreamAccount:
    """What the sender last said about the stream."""
    said = [report.accounts["vib"] for report in pump.of(LedgerReport) if "vib" in report.accounts]
    return said[-1] if said else StreamAccount()


def reading(value: float = 0.0) -> Sample:
    return Sample("vib", 0, CLOCK.now_ns(), np.full(3, float(value)), Encoding.FLOAT)


def test_everything_arrives_in_order_and_the_end_comes_last() -> None:
    with link() as (sender, pump, ledger):
        sender.add_stream(VIB)
        sender.add_stream(CAM)
        for number in range(200):
            sender.send(reading(number))
            if number % 10 == 0:
                sender.send(
                    Sample(
                        "cam", 0, CLOCK.now_ns(), np.full(CAM.shape, number, np.uint8), Encoding.RAW
                    )
                )
        sender.end("vib")
        sender.end("cam")
        assert sender.drain(20)
        sender.close()
        assert until(lambda: last_account(pump).delivered == 200)
        assert [s.data[0] for s in pump.samples("vib")] == list(range(200))
        assert [s.data[0, 0, 0] for s in pump.samples("cam")] == list(range(0, 200, 10))
        assert [s.sequence for s in pump.samples("vib")] == list(range(200))
        assert {o.info.name for o in pump.of(StreamOpened)} == {"vib", "cam"}
        assert {o.session for o in pump.of(StreamOpened)} == {sender.session}
        assert len(pump.of(StreamEnded)) == 2
        accounts = ledger.snapshot()
        assert all(a.missing == 0 and a.captured == a.delivered for a in accounts.values())


@pytest.mark.parametrize("shared", [True, False], ids=["shared memory", "tcp"])
def test_a_camera_that_reuses_its_buffer_gives_no_wrong_frame(shared: bool) -> None:
    count, wrong = 3_000, []
    with link(sender={"shared_memory": shared, "buffer_bytes": 4 << 20}, credit_bytes=2 << 20) as (
        sender,
        pump,
        ledger,
    ):
        sender.add_stream(CAM, "block")
        assert sender.wait_ready(20)
        assert sender.status.shared is shared
        buffer = np.zeros(CAM.shape, np.uint8)
        seen = 0

        def check() -> None:
            nonlocal seen
            for sample in pump.samples("cam"):
                seen += 1
                if not (sample.data == sample.sequence % 251).all():
                    wrong.append(sample.sequence)
            pump.arrivals.clear()

        for number in range(count):
            buffer[:] = number % 251
            sender.send(Sample("cam", 0, CLOCK.now_ns(), buffer, Encoding.RAW))
            if number % 100 == 99:
                assert sender.drain(30)
                assert until(lambda number=number: len(pump.samples("cam")) + seen == number + 1)
                check()
        buffer[:] = 255
        check()
        assert seen == count
        assert wrong == []
        assert ledger.snapshot()["cam"].delivered == count


def test_frames_that_are_still_looked_at_never_change() -> None:
    with link(sender={"buffer_bytes": 3 << 20}) as (sender, pump, ledger):
        sender.add_stream(CAM, "block")
        assert sender.wait_ready(20)
        for number in range(100):
            sender.send(
                Sample("cam", 0, CLOCK.now_ns(), np.full(CAM.shape, number, np.uint8), Encoding.RAW)
            )
        assert sender.drain(20)
        held = pump.samples("cam")
        assert len(held) == 100
        assert all((sample.data == number).all() for number, sample in enumerate(held))
        assert ledger.snapshot()["cam"].delivered == 100


def test_a_paused_receiver_makes_the_sender_drop_and_every_drop_is_counted() -> None:
    with link(sender={"buffer_bytes": 20_000}, credit_bytes=5_000) as (sender, pump, ledger):
        sender.add_stream(VIB)
        assert sender.wait_ready(20)
        pump.running.clear()
        started = time.monotonic()
        for number in range(2_000):
            sender.send(reading(number))
        assert time.monotonic() - started < 10
        pump.running.set()
        sender.end("vib")
        assert sender.drain(20)
        account = ledger.snapshot()["vib"]
        got = pump.samples("vib")
        assert account.captured == 2_000
        assert account.dropped.keys() == {"buffer_full"}
        assert account.delivered == len(got) == 2_000 - account.dropped["buffer_full"]
        assert got[-1].sequence == 1_999
        assert [s.data[0] for s in got] == [s.sequence for s in got]


def test_a_blocking_stream_waits_instead_and_loses_nothing() -> None:
    with link(sender={"buffer_bytes": 20_000}, credit_bytes=5_000) as (sender, pump, ledger):
        sender.add_stream(VIB, "block")
        for number in range(3_000):
            sender.send(reading(number))
        assert sender.drain(30)
        assert [s.sequence for s in pump.samples("vib")] == list(range(3_000))
        assert ledger.snapshot()["vib"].delivered == 3_000


def test_nonsense_is_counted_and_answered_and_hurts_nobody() -> None:
    with link() as (sender, pump, _):
        sender.add_stream(VIB)
        context = zmq.Context()
        stranger = context.socket(zmq.DEALER)
        stranger.linger = 0
        stranger.connect(pump.receiver.address)
        for frames in (
            [b""],
            [b"\xff" * 50],
            [b"x"] * 3_000,
            [encode(Data(b"\x00", b""))],
            [os.urandom(5 << 20)],
        ):
            stranger.send_multipart(frames)
        answers = []
        for _ in range(5):
            assert stranger.poll(20_000)
            answers.append(decode(stranger.recv()))
        assert all(isinstance(a, Refused) for a in answers)
        assert {a.code for a in answers} == {Refusal.MALFORMED, Refusal.HELLO_FIRST}
        sender.send(reading())
        assert sender.drain(20)
        assert pump.receiver.counters["malformed"] == 4
        context.destroy(0)


def test_a_message_over_the_limit_ends_its_connection_only() -> None:
    with link(max_message_bytes=1 << 20) as (sender, pump, _):
        sender.add_stream(VIB)
        context = zmq.Context()
        stranger = context.socket(zmq.DEALER)
        stranger.linger = 0
        monitor = stranger.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        stranger.connect(pump.receiver.address)
        stranger.send(bytes(20 << 20))
        assert monitor.poll(20_000)
        sender.send(reading())
        assert sender.drain(20)
        stranger.disable_monitor()
        context.destroy(0)


def test_a_sample_over_the_receivers_limit_is_dropped_by_the_sender() -> None:
    with link(max_message_bytes=100_000) as (sender, pump, ledger):
        sender.add_stream(CAM)
        sender.add_stream(VIB)
        assert sender.wait_ready(20)
        sender.send(Sample("cam", 0, CLOCK.now_ns(), np.zeros(CAM.shape, np.uint8), Encoding.RAW))
        sender.send(reading())
        assert sender.drain(20)
        assert ledger.snapshot()["cam"].dropped == {"too_large": 1}
        assert len(pump.samples("vib")) == 1


def test_samples_from_the_future_end_up_in_the_senders_ledger() -> None:
    with link() as (sender, pump, ledger):
        sender.add_stream(VIB)
        late = reading()
        late.timestamp_ns += 60_000_000_000
        sender.send(late)
        sender.send(reading())
        assert sender.drain(20)
        account = ledger.snapshot()["vib"]
        assert (account.delivered, account.dropped) == (1, {"future": 1})
        assert [s.sequence for s in pump.samples("vib")] == [1]


def test_a_payload_that_is_not_its_encoding_is_dropped_and_counted() -> None:
    with link() as (sender, _, ledger):
        sender.add_stream(VIB)
        sender.send(Sample("vib", 0, CLOCK.now_ns(), np.zeros(3, np.int64), Encoding.FLOAT))
        assert ledger.snapshot()["vib"].dropped == {"corrupt": 1}


def test_a_second_node_of_one_name_is_refused_until_the_first_has_gone() -> None:
    with link() as (sender, pump, _):
        sender.add_stream(VIB)
        sender.send(reading())
        assert sender.drain(20)
        ledger = Ledger()
        second = Sender("n1", pump.receiver.address, clock=CLOCK, ledger=ledger, clock_sync=False)
        second.add_stream(VIB)
        second.send(reading(1))
        assert until(lambda: second.status.refusal.startswith("name_taken"))
        sender.send(reading())
        assert sender.drain(20)
        sender.close()
        assert second.drain(20)
        assert ledger.snapshot()["vib"].delivered == 1
        second.close()


def test_what_is_left_at_the_end_is_counted_as_dropped() -> None:
    with link(ack=False) as (sender, pump, ledger):
        sender.add_stream(VIB)
        sender.send_many([reading(n) for n in range(5)])
        assert until(lambda: len(pump.samples("vib")) == 5)
        assert not sender.drain(0.1)
        sender.close()
        sender.send(reading())
        account = ledger.snapshot()["vib"]
        assert account.dropped == {"shutdown": 6}
        assert account.missing == 0
        assert until(lambda: pump.of(StreamEnded))
        assert until(lambda: last_account(pump).dropped == {"shutdown": 5})


def test_samples_may_be_given_before_there_is_a_receiver() -> None:
    probe = Receiver("tcp://127.0.0.1:0", clock=CLOCK)
    address = probe.address
    probe.close()
    ledger = Ledger()
    sender = Sender("n1", address, clock=CLOCK, ledger=ledger, clock_sync=False)
    sender.add_stream(VIB)
    for number in range(10):
        sender.send(reading(number))
    pump = Pump(Receiver(address, clock=CLOCK))
    assert sender.drain(20)
    assert [s.data[0] for s in pump.samples("vib")] == list(range(10))
    sender.close()
    pump.close()


def test_a_link_over_ipc_works_like_any_other(tmp_path) -> None:
    pump = Pump(Receiver(f"ipc://{tmp_path}/link", clock=CLOCK))
    sender = Sender("n1", pump.receiver.address, clock=CLOCK, ledger=Ledger())
    sender.add_stream(VIB)
    sender.send(reading())
    assert sender.drain(20)
    assert until(lambda: sender.clock_estimate() is not None)
    assert sender.clock_estimate().source == "zmq"
    sender.close()
    pump.close()
