"""Samples that are not what was agreed on, from a node beside one that loses nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import simplejpeg

from pipeline.core.arrival import StreamOpened
from pipeline.core.codec import encode_samples
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.transport.protocol import (
    PROTOCOL_VERSION,
    ClockAsk,
    Data,
    End,
    Hello,
    Reject,
    StreamSaid,
    Welcome,
)
from tests.system.strangers import Site, Stranger, site, stranger
from tests.system.test_transport_link import CLOCK
from tests.waiting import wait_until

pytestmark = pytest.mark.system

DOOR = StreamInfo("door", Modality.VIDEO, 10.0, (48, 64, 3), "uint8")
OVEN = StreamInfo("oven", Modality.SENSOR, 10.0, (2,), "float64")
HOUR_NS = 3_600_000_000_000


def jpeg(height: int = 48, width: int = 64, *, claims: int | None = None) -> bytes:
    """A picture, which may claim to be a square of another size."""
    data = bytearray(simplejpeg.encode_jpeg(np.zeros((height, width, 3), np.uint8)))
    if claims is not None:
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = claims.to_bytes(2, "big") * 2
    return bytes(data)


def picture(sequence: int, data: bytes) -> Sample:
    return Sample("door", sequence, CLOCK.now_ns(), data, Encoding.JPEG)


def warm(sequence: int, *values: float) -> Sample:
    data = np.array(values or (1.0, 2.0))
    return Sample("oven", sequence, CLOCK.now_ns(), data, Encoding.FLOAT)


def say(peer: Stranger, *samples: Sample) -> None:
    header, joined, *rest = encode_samples(samples)
    peer.say(Data(bytes(header), bytes(joined)), *(bytes(part) for part in rest))


def opened(peer: Stranger) -> None:
    peer.say(StreamSaid(DOOR))
    peer.say(StreamSaid(OVEN))


def rejected(peer: Stranger) -> tuple[str, list[int], str]:
    """What is told of the next samples that are rejected."""
    while not isinstance(message := peer.hear(), Reject):
        pass
    return message.stream, list(message.sequences), message.reason.value


def came(found: Site, stream: str, count: int) -> None:
    wait_until(lambda: len(found.pump.samples(stream)) == count)


BAD = {
    "a picture of another size": picture(1, jpeg(96, 64)),
    "a few bytes that claim gigabytes of pixels": picture(1, jpeg(claims=65_500)),
    "sound in a stream of pictures": Sample(
        "door", 1, 0, np.zeros((160, 1), np.int16), Encoding.PCM
    ),
    "text in a stream of pictures": Sample("door", 1, 0, "hello", Encoding.UTF8),
    "raw pixels of another size": Sample(
        "door", 1, 0, np.zeros((10, 10, 3), np.uint8), Encoding.RAW
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_stream_that_changes_under_way_is_refused_sample_by_sample(what: str) -> None:
    with site() as found, stranger(found, "changing") as peer:
        opened(peer)
        say(peer, picture(0, jpeg()), replace(BAD[what], timestamp_ns=CLOCK.now_ns()), warm(0))
        say(peer, picture(2, jpeg()))
        assert rejected(peer) == ("door", [1], "corrupt")
        came(found, "door", 2)
        came(found, "oven", 1)


def test_a_stream_that_says_that_it_changed_is_opened_anew() -> None:
    with site() as found, stranger(found, "changing") as peer:
        opened(peer)
        say(peer, picture(0, jpeg()))
        peer.say(StreamSaid(replace(DOOR, shape=(96, 64, 3), rate_hz=5.0)))
        say(peer, picture(1, jpeg(96, 64)), picture(2, jpeg()))
        assert rejected(peer) == ("door", [2], "corrupt")
        came(found, "door", 2)
        rates = [o.info.rate_hz for o in found.pump.of(StreamOpened) if o.info.name == "door"]
        assert rates == [10.0, 5.0]


def test_a_reading_of_another_width_or_from_the_future_is_refused() -> None:
    with site() as found, stranger(found, "odd") as peer:
        opened(peer)
        ahead = replace(warm(1), timestamp_ns=CLOCK.now_ns() + HOUR_NS)
        say(peer, warm(0), ahead, warm(2, 1.0, 2.0, 3.0), warm(3))
        assert sorted([rejected(peer), rejected(peer)]) == [
            ("oven", [1], "future"),
            ("oven", [2], "corrupt"),
        ]
        came(found, "oven", 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_carried_as_missing_and_harms_no_other(value: float) -> None:
    with site() as found, stranger(found, "odd") as peer:
        opened(peer)
        say(peer, warm(0, value, 2.0), warm(1))
        came(found, "oven", 2)
        assert found.pump.samples("oven")[1].data.tolist() == [1.0, 2.0]


def test_messages_that_are_played_back_count_once_also_on_a_new_connection() -> None:
    with site() as found, stranger(found, "replayed") as peer:
        opened(peer)
        recorded = [warm(n) for n in range(5)]
        for _ in range(3):
            say(peer, *recorded)
        came(found, "oven", 5)
        wait_until(lambda: found.count("duplicate") == 10)
        with stranger(found) as thief:
            thief.say(Hello(PROTOCOL_VERSION, "replayed", "life", 2, []))
            assert isinstance(thief.hear(), Welcome)
            opened(thief)
            say(thief, *recorded)
            wait_until(lambda: found.count("duplicate") == 15)
        assert len(found.pump.samples("oven")) == 5


def test_a_second_node_of_a_name_is_refused_and_the_first_goes_on() -> None:
    with site() as found, stranger(found) as double:
        double.say(Hello(PROTOCOL_VERSION, "well", "another life", 1, []))
        assert double.refusal() == "name_taken"
        double.say(ClockAsk(0))
        assert double.refusal() == "hello_first"
        assert found.count("name_taken") == 1


def test_a_message_in_the_wrong_place_is_refused_and_the_peer_may_go_on() -> None:
    with site() as found, stranger(found, "confused") as peer:
        say(peer, warm(0))
        assert rejected(peer) == ("oven", [0], "refused")
        peer.say(End("oven"))
        assert peer.refusal() == "out_of_place"
        opened(peer)
        say(peer, warm(1))
        came(found, "oven", 1)
