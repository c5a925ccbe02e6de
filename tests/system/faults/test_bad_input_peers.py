"""Peers that ask more than they may, one of each kind, beside a node that loses nothing."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from pipeline.core.codec import encode_samples
from pipeline.core.ledger import Ledger
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.limits import LimitSettings
from pipeline.transport.protocol import (
    PROTOCOL_VERSION,
    Bye,
    ClockAsk,
    Data,
    Hello,
    Refusal,
    Refused,
    StreamSaid,
)
from pipeline.transport.sender import Sender
from tests.system.strangers import site, stranger
from tests.system.test_transport_link import CLOCK
from tests.system.zmtp import GREETING, dial, frame, has_ended, shake_hands
from tests.waiting import wait_until

pytestmark = pytest.mark.system

MIB = 1 << 20


def test_half_open_handshakes_make_room_for_new_ones() -> None:
    with site(LimitSettings(unheard=8, connections_per_s=1_000)) as found:
        lines = [dial(found.address) for _ in range(60)]
        for line in lines[::2]:
            with suppress(OSError):
                line.sendall(GREETING[:11])
        wait_until(lambda: found.count("unheard") >= 52)
        assert all(has_ended(line) for line in lines[:52])
        with stranger(found, "newcomer") as newcomer:
            newcomer.say(ClockAsk(0))
            newcomer.hear()
        for line in lines:
            line.close()


def test_an_address_that_connects_without_end_is_slowed() -> None:
    with site(LimitSettings(connections_per_s=10)) as found:
        lines = [dial(found.address) for _ in range(40)]
        wait_until(lambda: found.count("connects_too_fast") >= 15)
        assert has_ended(lines[-1])
        for line in lines:
            line.close()


def test_a_message_that_never_ends_does_not_fill_the_memory() -> None:
    with site(credit_bytes=MIB, max_message_bytes=MIB) as found:
        line = shake_hands(found.address)
        part = frame(bytes(MIB), more=True)
        sent = 0
        with suppress(ConnectionError, TimeoutError):
            while sent < 4_000:
                line.sendall(part)
                sent += 1
        assert 64 < sent < 4_000
        assert found.count("unfinished_message") == 1
        line.close()


def test_a_node_that_floods_is_told_and_ended() -> None:
    with site(LimitSettings(messages_per_s=500)) as found, stranger(found, "flood") as flood:
        for _ in range(5_000):
            flood.say(ClockAsk(0))
        assert flood.refusal() == "too_fast"
        assert flood.was_ended()
        assert found.count("after_the_end") + found.count("too_fast") > 0


def test_a_node_that_says_hello_without_end_is_told_and_ended() -> None:
    with site(LimitSettings(hellos_per_s=2)) as found, stranger(found, "flood") as flood:
        for attempt in range(2, 20):
            flood.say(Hello(PROTOCOL_VERSION, "flood", "life", attempt, []))
        assert flood.refusal() == "too_fast"
        assert flood.was_ended()


def test_nonsense_without_end_is_ended_sooner_than_sense() -> None:
    with site(LimitSettings(messages_per_s=1_000)) as found, stranger(found, "mad") as mad:
        for _ in range(200):
            mad.say(Refused(Refusal.MALFORMED))
        assert mad.refusal() == "out_of_place"
        assert mad.was_ended()
        assert 20 <= found.count("out_of_place") < 200


def test_more_streams_than_may_be_are_refused_one_by_one() -> None:
    def described(number: int) -> StreamInfo:
        return StreamInfo(f"s{number}", Modality.SENSOR, 1.0, (1,), "float64")

    with site(max_streams=4) as found, stranger(found, "broad") as broad:
        for number in range(6):
            broad.say(StreamSaid(described(number)))
        assert broad.refusal() == "too_many_streams"
        assert broad.refusal() == "too_many_streams"
        with stranger(found) as broader:
            infos = [described(number) for number in range(5)]
            broader.say(Hello(PROTOCOL_VERSION, "broader", "life", 1, infos))
            assert broader.refusal() == "too_many_streams"


def test_more_nodes_than_may_be_are_refused_until_one_has_gone() -> None:
    with site(LimitSettings(peers=2)) as found:
        with stranger(found, "second") as second, stranger(found) as third:
            third.say(Hello(PROTOCOL_VERSION, "third", "life", 1, []))
            assert third.refusal() == "not_allowed"
            second.say(Bye())
            assert isinstance(second.hear(), Bye)
        wait_until(lambda: found.count("not_allowed") == 1)
        late = Sender("third", found.address, clock=CLOCK, ledger=Ledger(), clock_sync=False)
        wait_until(lambda: late.status.state == "ready")
        late.close()


def test_a_node_that_sends_more_than_it_was_granted_is_told_and_ended() -> None:
    with site(credit_bytes=MIB, max_message_bytes=MIB) as found, stranger(found, "deaf") as deaf:
        deaf.say(StreamSaid(StreamInfo("big", Modality.SENSOR, 1.0, (), "float64")))
        sample = Sample("big", 0, CLOCK.now_ns(), np.zeros(60_000), Encoding.FLOAT)
        found.pump.running.clear()  # it must not consume, and so grant, while these come
        for sequence in range(40):
            sample.sequence = sequence
            header, joined, *rest = encode_samples([sample])
            deaf.say(Data(bytes(header), bytes(joined)), *(bytes(part) for part in rest))
        found.pump.running.set()
        assert deaf.refusal() == "over_credit"
        assert deaf.was_ended()


def test_a_message_of_too_many_bytes_in_small_frames_is_told_and_ended() -> None:
    with site(max_message_bytes=MIB) as found, stranger(found, "heavy") as heavy:
        heavy.say(Data(b"", b""), *[bytes(MIB)] * 12)
        assert heavy.refusal() == "too_large"
        assert heavy.was_ended()
