from __future__ import annotations

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.dashboard.live_feed import LINGER_S, LiveFeed
from nodes.live_message import LiveWindow, pack, unpack
from nodes.live_view import BANDS, COLUMNS, SILENT_DB, readings_of, small_jpeg, sound_of
from pipeline.core.errors import TransportError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice
from tests.toy_site import HOP_NS, Site
from tests.waiting import wait_until
from tests.watched_site import Shown, watched_deployment

NOW_NS = 1_700_000_400_000_000_000
RATE = 8000


@pytest.fixture
def shown(tmp_path: Path):
    deployment = watched_deployment(tmp_path)
    showing = Shown(deployment, NOW_NS)
    feed = LiveFeed(deployment.data)
    yield showing, feed
    feed.close()
    showing.close()


async def _seen(showing: Shown, feed: LiveFeed, count: int) -> list[LiveWindow]:
    """The first windows a browser gets, shown again and again until it listens."""
    async with feed.looking("hall") as queue:
        found = []
        while len(found) < count:
            showing.next()
            try:
                window = await asyncio.wait_for(queue.get(), 0.2)
            except TimeoutError:
                continue
            assert window is not None
            found.append(window)
        return found


def test_a_browser_sees_scores_sound_readings_and_pictures(shown) -> None:
    showing, feed = shown
    first, second = asyncio.run(_seen(showing, feed, 2))
    assert second.index > first.index and second.hop_ms == HOP_NS // 10**6
    assert (first.score, first.threshold) == (2.0, 3.0)
    assert first.detectors == {"between": 2.0, "audio:mic": 0.301}
    assert len(first.sounds["mic"].columns) == COLUMNS
    assert first.readings["plc"].channels == ["current", "heat", "door"]
    assert second.pictures == ["cam"]
    picture = feed.picture("hall", "cam", second.index)
    assert picture is not None
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), 1).shape == (60, 100, 3)
    assert feed.picture("hall", "cam", 7) is None and feed.picture("yard", "cam") is None
    assert [w.index for w in feed.windows("hall")][:2] == [first.index, second.index]


def test_whoever_looks_when_the_page_ends_or_comes_after_is_told_that_it_is_over(shown) -> None:
    async def told() -> list[LiveWindow | None]:
        async with shown[1].looking("hall") as early:
            shown[1].end()
            async with shown[1].looking(None) as late:
                return [await asyncio.wait_for(one.get(), 10) for one in (early, late)]

    assert asyncio.run(told()) == [None, None]


def test_who_comes_back_soon_finds_what_was_shown_however_much_that_was(tmp_path: Path) -> None:
    deployment, now_s = watched_deployment(tmp_path), [0.0]
    showing, feed = Shown(deployment, NOW_NS), LiveFeed(deployment.data, lambda: now_s[0])
    try:
        first, *_ = asyncio.run(_seen(showing, feed, 1))
        for _ in range(round(LINGER_S * 6)):  # more than one every 200 ms
            last = showing.next()
        wait_until(lambda: feed.windows("hall")[-1].index == last)
        now_s[0] = LINGER_S - 0.1
        showing.next()
        wait_until(lambda: feed.windows("hall")[-1].index == last + 1)
        assert feed.windows("hall")[0].index == first.index
        now_s[0] = LINGER_S
        wait_until(lambda: not feed.windows("hall"))
    finally:
        feed.close()
        showing.close()


def test_while_nobody_looks_nothing_is_made(shown) -> None:
    showing, _ = shown
    showing.next()
    assert not showing.view.watched
    assert not showing.view._frames


def test_the_fusion_node_notices_that_somebody_came(shown) -> None:
    showing, feed = shown
    asyncio.run(_seen(showing, feed, 1))
    assert showing.view.watched
    feed.close()
    wait_until(lambda: showing.next() and not showing.view.watched)


def _slice(samples: np.ndarray, heard: bool = True) -> AudioSlice:
    info = StreamInfo("mic", Modality.AUDIO, RATE, (1,), "float32")
    part = samples.astype(np.float32)[:, None]
    return AudioSlice(info, part, np.full(len(part), heard), 1.0)


def test_a_tone_shows_in_its_band_and_nowhere_else() -> None:
    times = np.arange(2 * RATE) / RATE
    sound = sound_of(_slice(0.5 * np.sin(2 * np.pi * 1000 * times)), HOP_NS)
    edges = np.geomspace(sound.low_hz, sound.high_hz, BANDS + 1)
    wanted = int(np.searchsorted(edges, 1000)) - 1
    for column in sound.columns:
        assert abs(int(np.argmax(column)) - wanted) <= 1
        assert max(column[: wanted - 6]) < max(column) - 30


def test_what_was_not_heard_is_silent() -> None:
    assert (
        sound_of(_slice(np.ones(RATE), heard=False), HOP_NS).columns
        == [[SILENT_DB] * BANDS] * COLUMNS
    )


def test_readings_are_those_of_the_last_hop_and_gaps_stay_gaps() -> None:
    window = Site(missing=frozenset({"plc"})).window(3)
    told = readings_of(window.slices["plc"], window.end_ns - HOP_NS)
    assert len(told.times_ms) == 5
    assert told.times_ms[0] >= (window.end_ns - HOP_NS) // 10**6
    assert told.values == [[None] * 5] * 3


def test_wide_pictures_become_small_and_damaged_ones_are_left_out() -> None:
    wide = Sample("cam", 0, 0, np.zeros((720, 1280, 3), np.uint8), Encoding.RAW)
    jpeg = small_jpeg(wide)
    assert jpeg is not None
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (360, 640, 3)
    assert small_jpeg(Sample("cam", 0, 0, b"no picture", Encoding.JPEG)) is None


@pytest.mark.parametrize("frames", [[], [b"hall"], [b"hall", b"{}"], [b"hall", b"\xff"]])
def test_what_is_no_window_is_told(frames: list[bytes]) -> None:
    with pytest.raises(TransportError):
        unpack(frames)


def test_pictures_that_are_missing_are_told() -> None:
    window = LiveWindow(scene="hall", index=1, end_ms=1, hop_ms=1, pictures=["cam"])
    assert unpack(pack(window, [b"jpeg"])) == (window, {"cam": b"jpeg"})
    with pytest.raises(TransportError):
        unpack(pack(window, []))
