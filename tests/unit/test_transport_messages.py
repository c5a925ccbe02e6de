"""Messages on the wire."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import ProtocolError
from pipeline.core.ledger import DropReason
from pipeline.transport.protocol import (
    MAX_CONTROL_BYTES,
    Ack,
    Bye,
    ClockAnswer,
    ClockAsk,
    Credit,
    Data,
    End,
    LedgerSaid,
    Message,
    Refusal,
    Refused,
    Reject,
    Resume,
    StreamSaid,
    Welcome,
    decode,
    encode,
)
from tests.unit.link_samples import VIB, hello

MESSAGES = [
    hello(),
    Welcome(1, 2, 3, 4, {"vib": Resume(5, 4, {4: DropReason.FUTURE})}, "id", True),
    Data(b"header", b"joined", [(2, 4096, 100)]),
    Ack({"vib": 3}),
    Credit(5, [4096]),
    ClockAsk(-5),
    ClockAnswer(1, 2, 3),
    LedgerSaid({}, waits=True),
    StreamSaid(VIB),
    End("vib"),
    Bye("x"),
    Refused(Refusal.VERSION, "no"),
    Reject("vib", [1, 2], DropReason.FUTURE),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_message_survives_the_wire(message: Message) -> None:
    assert decode(encode(message)) == message


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MESSAGES), st.data())
def test_damaged_messages_are_refused_or_are_messages(
    message: Message, data: st.DataObject
) -> None:
    frame = bytearray(encode(message))
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(ProtocolError):
        decode(bytes(frame))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100))
def test_noise_is_no_message(frame: bytes) -> None:
    with suppress(ProtocolError):
        decode(frame)


def test_a_node_that_says_less_in_its_account_is_understood() -> None:
    assert decode(msgspec.msgpack.encode([8, {}])) == LedgerSaid({}, waits=False)


def test_values_out_of_bounds_are_refused() -> None:
    wrong = msgspec.msgpack.encode([4, {"vib": -1}])
    huge = msgspec.msgpack.encode([1, 1, "n" * 500, "s", 1, []])
    bad_stream = encode(StreamSaid(replace(VIB, rate_hz=-1.0)))
    for frame in (wrong, huge, bad_stream, bytes(5 << 20)):
        with pytest.raises(ProtocolError):
            decode(frame)


def test_a_first_frame_may_be_as_large_as_allowed_and_one_that_is_larger_says_so() -> None:
    around = len(encode(Data(bytes(100_000), b""))) - 100_000
    largest = Data(bytes(MAX_CONTROL_BYTES - around), b"")
    assert len(encode(largest)) == MAX_CONTROL_BYTES
    assert decode(encode(largest)) == largest
    larger = encode(Data(bytes(MAX_CONTROL_BYTES - around + 1), b""))
    with pytest.raises(ProtocolError, match=f"{len(larger)} bytes, at most {MAX_CONTROL_BYTES}"):
        decode(larger)
    with pytest.raises(ProtocolError, match="not a message of this protocol: "):
        decode(b"\x01")
