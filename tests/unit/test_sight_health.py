"""Streams that cannot see are told once, with why and since when, and that they are back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from nodes.equipment_metrics import EquipmentMetrics
from pipeline.core.errors import StoreError
from pipeline.core.event import Account, Event, Phase
from pipeline.core.sample import Modality, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, Slice, TextSlice, VideoSlice, Window
from pipeline.detection.accounts import Accounts
from pipeline.detection.cut import Cut
from pipeline.detection.score import WindowScore
from pipeline.detection.sight_health import SightHealth, SightScene
from pipeline.detection.sight_settings import SightSettings

SECOND, HOP = 1_000_000_000, 500_000_000
FIRST = 3_400_000_000  # index of the first window: 2023-11-14 22:13:20 UTC
CAM = StreamInfo("cam", Modality.VIDEO, 5.0, (4, 4, 3), "uint8")
MIC = StreamInfo("mic", Modality.AUDIO, 100.0, (1,), "float32")
DOOR = StreamInfo("door", Modality.SENSOR, None, (1,), "float64", channels=("open",))
LOG = StreamInfo("log", Modality.TEXT)
ALL = (CAM, MIC, DOOR, LOG)
NODES = {"pi": ("cam", "mic"), "plc": ("door", "log")}
SETTINGS = SightSettings(after_s=10, clear_after_s=5, startup_s=30)
ACCOUNTS = Accounts({"hall": ["cam"]}, {"cam": Account(captured=7)})


def slice_of(info: StreamInfo, coverage: float) -> Slice:
    grid = np.zeros(1, np.int64)
    match info.modality:
        case Modality.VIDEO:
            return VideoSlice(info, grid, (None,), np.array([False]), coverage)
        case Modality.AUDIO:
            return AudioSlice(info, np.zeros((1, 1), np.float32), np.array([False]), coverage)
        case Modality.SENSOR:
            return SensorSlice(info, grid, np.zeros((1, 1)), np.zeros((1, 1), bool), coverage)
        case _:
            return TextSlice(info, grid[:0], (), coverage)


@dataclass
class Room:
    """A scene whose windows are made up."""

    scored: bool = True
    settings: SightSettings = SETTINGS
    at: int = 0
    told: list[Event] = field(default_factory=list)
    health: SightHealth = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(info.name for info in ALL)
        scene = SightScene(self.settings, names, NODES, 4 * HOP, HOP)
        self.health = SightHealth({"hall": scene})

    def see(
        self,
        seconds: float,
        *,
        gone: Sequence[str] = (),
        never: Sequence[str] = (),
        bad: Mapping[str, str] | None = None,
        missing: tuple[str, ...] = (),
        unsure_ns: Mapping[str, int] | None = None,
        unfit: frozenset[str] = frozenset(),
    ) -> list[Event]:
        """Let some seconds pass; what was told in them."""
        found: list[Event] = []
        for _ in range(round(seconds * SECOND / HOP)):
            start_ns = (FIRST + self.at) * HOP
            span = ("hall", FIRST + self.at, start_ns, start_ns + 4 * HOP)
            slices = {
                info.name: slice_of(info, 0.0 if info.name in gone else 1.0)
                for info in ALL
                if info.name not in never
            }
            window = Window(*span, slices, unsure_ns or {})
            score = WindowScore(*span, 1.0, missing=missing, degraded=bad or {})
            cut = Cut(window, ACCOUNTS, unfit)
            found += self.health.see(cut, score if self.scored else None)
            self.at += 1
        self.told += found
        return found

    @property
    def end_s(self) -> float:
        """When the last window ended, seconds since the first began."""
        return (self.at + 3) / 2


def since_s(event: Event) -> float:
    return event.start_ns / SECOND - FIRST / 2


def phases(events: Sequence[Event]) -> list[tuple[str, Phase]]:
    return [(event.alarm, event.phase) for event in events]


@pytest.mark.parametrize(
    ("stream", "reason", "said"),
    [
        ("cam", "frozen", "The camera cam has shown the same picture since 2023-11-14 22:1"),
        ("cam", "dark", "The camera cam has seen nothing but darkness since "),
        ("cam", "covered", "The camera cam has shown an empty picture, as if it were covered, s"),
        ("cam", "blurred", "The camera cam has been out of focus since "),
        ("mic", "clipped", "The microphone mic has been too loud for its range (clipped) since "),
        ("mic", "silent", "The microphone mic has heard nothing, not even noise, since "),
        ("door", "stuck (open)", "The sensor door has been stuck (open) since "),
    ],
)
def test_a_stream_that_sees_badly_is_raised_once_in_plain_words_and_cleared(
    stream: str, reason: str, said: str
) -> None:
    room = Room()
    assert room.see(20) == []
    raised, *more = room.see(60, bad={stream: reason})
    assert more == []
    assert (raised.alarm, raised.phase, raised.health) == (f"sight:{stream}", Phase.RAISED, True)
    assert raised.id.startswith("health-")
    assert raised.summary.startswith(said)
    left = [info.name for info in ALL if info.name != stream]
    assert raised.summary.endswith(f"; scoring goes on with {', '.join(left)}.")
    assert (dict(raised.degraded), raised.incomplete) == ({stream: reason}, ())
    assert raised.ledger["cam"].captured == 7
    assert since_s(raised) == 20
    assert (raised.end_ns - raised.start_ns) / SECOND == 10
    assert room.see(4.5) == []
    (cleared,) = room.see(10)
    assert (cleared.id, cleared.revision, cleared.phase) == (raised.id, 1, Phase.CLEARED)
    assert f" {stream} is back to normal." in cleared.summary
    assert cleared.end_ns / SECOND - FIRST / 2 == 81.5  # the last window that was bad


def test_what_lasts_shorter_than_it_must_is_not_told() -> None:
    room = Room()
    for _ in range(5):
        room.see(20)
        room.see(8, gone=["cam"])
    assert room.told == []


def test_a_stream_that_flickers_evenly_is_not_told_and_one_that_rarely_sees_is_told_once() -> None:
    even, mostly = Room(), Room()
    even.see(20)
    mostly.see(20)
    for _ in range(60):
        even.see(1, bad={"cam": "dark"})
        even.see(1.5)
        mostly.see(4, bad={"cam": "dark"})
        mostly.see(1)
    assert even.told == []
    assert phases(mostly.told) == [("sight:cam", Phase.RAISED)]
    mostly.see(10)
    assert phases(mostly.told)[1:] == [("sight:cam", Phase.CLEARED)]
    mostly.see(8, bad={"cam": "dark"})
    mostly.see(20)
    assert len(mostly.told) == 2


def test_another_reason_updates_it_once_it_has_lasted() -> None:
    room = Room()
    room.see(20)
    room.see(15, bad={"cam": "blurred"})
    for _ in range(10):  # in between: neither
        room.see(3, bad={"cam": "covered"})
        room.see(3, bad={"cam": "blurred"})
    assert phases(room.told) == [("sight:cam", Phase.RAISED)]
    (updated,) = room.see(30, gone=["cam"])
    assert (updated.phase, updated.revision) == (Phase.UPDATED, 1)
    assert (dict(updated.degraded), updated.incomplete) == ({}, ("cam",))
    assert updated.summary.startswith("Nothing has come from the camera cam since")
    assert updated.start_ns == room.told[0].start_ns


def test_a_scene_without_a_model_tells_what_is_absent_and_whose_clock_is_off() -> None:
    room = Room(scored=False)
    room.see(20)
    (absent,) = room.see(15, gone=["mic"])
    assert absent.summary.startswith("Nothing has come from the microphone mic since")
    assert absent.summary.endswith("UTC.")
    room.see(10)
    (clock,) = room.see(15, unsure_ns={"mic": SECOND})
    assert clock.summary.startswith("The clock of the microphone mic cannot be trusted since")
    assert clock.clock_uncertainty_ns == SECOND


def test_a_clock_is_trusted_up_to_the_limit_and_the_time_between_two_samples() -> None:
    limit_ms = SightSettings(after_s=10, clock_limit_ms=100)
    for settings, limit_ns in ((SETTINGS, HOP), (limit_ms, SECOND // 10)):
        room = Room(settings=settings)
        room.see(20)
        assert room.see(30, unsure_ns={"cam": limit_ns + SECOND // 5}) == []
        assert len(room.see(30, unsure_ns={"cam": limit_ns + SECOND // 5 + 1})) == 1


def test_all_streams_of_a_node_gone_is_one_event_that_names_the_node() -> None:
    room = Room()
    room.see(20)
    room.see(1, gone=["cam"])
    (raised,) = room.see(40, gone=["cam", "mic"])
    assert raised.alarm == "node:pi"
    assert raised.incomplete == ("cam", "mic")
    assert raised.summary.startswith("Nothing has come from node pi (cam, mic) since")
    assert raised.summary.endswith("; scoring goes on with door, log.")
    back = room.see(30, gone=["mic"])
    assert phases(back) == [("node:pi", Phase.CLEARED), ("sight:mic", Phase.RAISED)]
    assert since_s(back[1]) == 21


def test_a_long_outage_that_is_over_does_not_make_a_bad_moment_later_an_event() -> None:
    room = Room()
    room.see(20)
    room.see(300, gone=["cam", "mic"])
    room.see(20)
    assert phases(room.told) == [("node:pi", Phase.RAISED), ("node:pi", Phase.CLEARED)]
    assert room.see(5, bad={"cam": "dark"}) == []


def test_a_door_contact_and_a_log_may_be_quiet_but_not_absent() -> None:
    room = Room()
    room.see(20)
    assert room.see(60, gone=["door"], missing=("door", "log")) == []
    (over,) = room.see(20, gone=["log"])  # a log has no coverage only once it has ended
    assert over.alarm == "sight:log"


def test_too_little_to_score_and_what_the_model_cannot_use_are_told() -> None:
    room = Room()
    room.see(20)
    (little,) = room.see(20, missing=("mic",))
    assert little.summary.startswith("Too little that can be used has come from the microphone")
    _, unfit = room.see(20, never=["cam"], unfit=frozenset({"cam"}))
    assert "cam is not the stream that the model has learnt" in unfit.summary


def test_a_stream_never_seen_since_the_start_has_time_to_come() -> None:
    room = Room()
    assert room.see(25, never=["cam"]) == []
    (raised,) = room.see(10, never=["cam"])
    assert raised.summary.startswith("Nothing has come from the stream cam since")
    late = Room()
    late.see(25, never=["cam"])
    late.see(60)
    assert late.told == []


def test_nothing_left_is_said_so() -> None:
    room = Room()
    room.see(20)
    told = room.see(20, gone=[info.name for info in ALL], bad={"cam": "dark"})
    assert phases(told) == [("node:pi", Phase.RAISED), ("sight:log", Phase.RAISED)]
    assert told[0].summary.endswith("; scoring goes on with door.")  # a quiet door may be well


@pytest.mark.parametrize("crash_s", [3, 9.5, 12, 31, 33])
def test_restarted_at_any_time_it_tells_what_it_would_have_told(crash_s: float) -> None:
    def bad(room: Room, from_s: float, to_s: float) -> None:
        dark_s = min(max(30 - from_s, 0), to_s - from_s)
        room.see(dark_s, bad={"cam": "dark"})
        room.see(to_s - from_s - dark_s)

    whole, first, second = Room(), Room(), Room()
    for room in (whole, first):
        room.see(20)
    bad(whole, 0, 60)
    bad(first, 0, crash_s)
    second.at = first.at
    second.health.restore(first.told)
    second.health.resume("hall", first.health.state("hall"))
    bad(second, crash_s, 60)
    assert first.told + second.told == whole.told
    assert phases(whole.told) == [("sight:cam", Phase.RAISED), ("sight:cam", Phase.CLEARED)]


def test_what_stands_is_cleared_when_only_the_events_were_kept() -> None:
    first, second = Room(), Room()
    first.see(20)
    told = first.see(20, bad={"cam": "dark"})
    second.at = first.at
    second.health.restore(told)
    assert second.health.stands("hall")
    assert second.see(20, bad={"cam": "dark"}) == []
    assert phases(second.see(20)) == [("sight:cam", Phase.CLEARED)]
    assert not second.health.stands("hall")


def test_a_state_that_cannot_be_read_is_a_clear_error() -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        Room().health.resume("hall", b"{broken")


def test_the_end_of_all_streams_clears_what_stands() -> None:
    room = Room()
    room.see(20)
    room.see(20, bad={"cam": "dark"})
    (cleared,) = room.health.finish("hall")
    assert (cleared.phase, cleared.summary) == (
        Phase.CLEARED,
        "cam has ended; it was not seen to be back.",
    )
    assert list(room.health.finish("hall")) == []


def test_metrics_say_at_once_which_streams_cannot_see_and_why() -> None:
    metrics = EquipmentMetrics(registry := CollectorRegistry())
    room = Room()

    def told(stream: str, reason: str) -> float | None:
        metrics.unseen(room.health.unseen())
        labels = {"scene": "hall", "stream": stream, "reason": reason}
        return registry.get_sample_value("fusewatch_stream_unseen", labels)

    room.see(5)
    assert told("cam", "absent") is None
    room.see(1, gone=["cam"], bad={"door": "stuck (open)"})
    assert (told("cam", "absent"), told("door", "stuck")) == (1, 1)
    room.see(1)
    assert (told("cam", "absent"), told("door", "stuck")) == (0, 0)
