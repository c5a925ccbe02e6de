"""What happens to devices, servers, nodes and clocks of a running deployment, and what comes of it.

All of it happens in one run of the `Plant`, each fault to a scene of its own: four scenes see the
same story, so that what a disturbed one tells can be held against what one tells that was not, and
against what the same samples give without any process, clock or network (`peace`).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from nodes.assembly import build_engine
from nodes.replay import drive, replay
from pipeline.config import load_deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.event import Event, Phase, to_json
from tests.system.plant import KINDS, SECOND_NS, TOYS, Plant, Told
from tests.system.toy_devices import Story, announced
from tests.toy_site import HOP_NS

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(300)]

BROKEN_S, MENDED_S = 7.0, 12.0
RESET_S, SET_S = 20.0, 25.5
WRONG = {"sensor": (46, 52), "object": (56, 62)}  # hops: at 23 and 28 s
END_S, HOPS = 35.0, 80
BACK_S = 9.0  # readers try again after waits that double, the longest of them 4 s
EMPTY = (11, 46)  # hops in which nobody walks
NODES = {"fusion", "alert", "capture-calm", "capture-gate", "capture-press", "capture-yard"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder = tmp_path_factory.mktemp("plant")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "plugins")  # the deployment is read here too
        yield run(folder)


def run(folder: Path) -> Told:
    with Plant(folder) as plant:
        plant.begin(HOPS, WRONG, EMPTY)
        plant.wait_for(BROKEN_S)
        break_all(plant)
        plant.set_clock(3600)
        plant.wait_for((BROKEN_S + MENDED_S) / 2)
        plant.set_clock(-3600)
        plant.wait_for(MENDED_S)
        plant.set_clock(0)
        mend_all(plant)
        plant.wait_for(RESET_S)
        plant.meters.lose_power()
        plant.wait_for(SET_S)
        plant.meters.is_set()
        plant.wait_for(END_S)
        return plant.end()


def break_all(plant: Plant) -> None:
    plant.camera.unlink()
    plant.hang.touch()
    plant.power.unlink()
    plant.kill("capture-shed")
    plant.street.kill()
    plant.sound.kill()
    plant.broker.kill()


def mend_all(plant: Plant) -> None:
    plant.camera.touch()
    plant.power.touch()
    plant.broker.start()
    plant.street.start()
    plant.sound.start()
    plant.play()


@pytest.fixture(scope="module")
def peace(told: Told) -> list[Event]:
    """What the story gives where nothing ever happens to a device."""
    story = Story(told.begin_ns, HOPS, WRONG, EMPTY)
    names = {kind: f"{kind}-calm" for kind in KINDS}
    steps: list[Arrival] = [StreamOpened(told.begin_ns, "calm", i) for i in announced(names)]
    for hop in range(round(END_S * SECOND_NS) // HOP_NS):
        over_ns = told.begin_ns + (hop + 1) * HOP_NS
        samples = sorted(story.samples(hop, names), key=lambda sample: sample.timestamp_ns)
        steps += [SampleArrived(over_ns, "calm", sample) for sample in samples]
    engine = build_engine(load_deployment(told.config)).engine
    events = [event for step in steps for event in drive(engine, step).events]
    return [event for event in events if event.scene == "calm"]


def said(told: Told, events: list[Event]) -> list[tuple[Phase, float, float, str]]:
    """What events say, in seconds of the story and without the names of streams."""
    return [
        (e.phase, told.at_s(e.start_ns), told.at_s(e.end_ns), e.summary.replace(f"-{e.scene}", ""))
        for e in events
    ]


def spans(told: Told, events: list[Event]) -> list[tuple[str, Phase, float]]:
    return [(e.alarm, e.phase, round(told.at_s(e.start_ns))) for e in events]


def assert_exact(told: Told, *streams: str) -> None:
    """Everything captured was delivered, and nothing twice."""
    for stream in streams:
        account, samples = told.accounts[stream], told.samples[stream]
        assert account.captured == account.delivered + sum(account.dropped.values())
        assert (account.missing, account.spooled, account.dropped) == (0, 0, {})
        assert [s.sequence for s in samples] == list(range(account.delivered))


def assert_gap(told: Told, stream: str) -> None:
    """Its stamps go on, and nothing is of the time in which it could not be read."""
    stamps = [told.at_s(s.timestamp_ns) for s in told.samples[stream]]
    before, after = max(pairwise(stamps), key=lambda pair: pair[1] - pair[0])
    assert stamps == sorted(stamps)
    assert before == pytest.approx(BROKEN_S, abs=1.0)
    assert BROKEN_S + 2 < after < MENDED_S + BACK_S


def raised_and_cleared(told: Told, scene: str, alarm: str) -> tuple[Event, Event]:
    """The only event of a piece of equipment: raised when it broke, cleared when it was back."""
    events = [e for e in told.of(scene, health=True) if e.alarm == alarm]
    assert [e.phase for e in events] == [Phase.RAISED, Phase.CLEARED]
    raised, cleared = events
    assert raised.id == cleared.id
    assert told.at_s(raised.start_ns) == pytest.approx(BROKEN_S, abs=1.2)
    assert MENDED_S - 4 < told.at_s(cleared.end_ns) < MENDED_S + BACK_S
    return raised, cleared


def test_where_nothing_happens_nothing_is_told_but_the_story(
    told: Told, peace: list[Event]
) -> None:
    assert [e.phase for e in peace] == [Phase.RAISED, Phase.UPDATED, Phase.CLEARED]
    assert said(told, told.of("calm", health=False)) == said(told, peace)
    assert told.of("calm", health=True) == []


def test_a_camera_that_is_unplugged_is_told_and_is_back_by_itself(
    told: Told, peace: list[Event]
) -> None:
    raised, _ = raised_and_cleared(told, "gate", "sight:cam-gate")
    assert raised.summary.startswith("Nothing has come from the camera cam-gate since ")
    assert raised.summary.endswith("; scoring goes on with mic-gate, plc-gate.")
    assert len(told.of("gate", health=True)) == 2
    assert spans(told, told.of("gate", health=False)) == spans(told, peace)
    assert f"there is no camera {told.camera}" in told.log
    assert_gap(told, "cam-gate")
    assert_exact(told, "cam-gate", "mic-gate", "plc-gate")


def test_a_reader_that_hangs_in_read_is_replaced(told: Told, peace: list[Event]) -> None:
    raised, _ = raised_and_cleared(told, "press", "sight:plc-press")
    assert raised.summary.startswith("Nothing has come from the sensor plc-press since ")
    assert len(told.of("press", health=True)) == 2
    assert spans(told, told.of("press", health=False)) == spans(told, peace)
    assert "read() did not return within 4 s" in told.log
    assert_gap(told, "plc-press")
    assert_exact(told, "cam-press", "mic-press", "plc-press")


def test_a_node_that_loses_power_is_told_and_what_it_had_on_its_disk_is_delivered(
    told: Told, peace: list[Event]
) -> None:
    raised = told.of("shed", health=True)[0]
    assert raised.summary.startswith(
        "Nothing has come from node shed (cam-shed, mic-shed, plc-shed) since "
    )
    phases = [e.phase for e in told.of("shed", health=True) if e.alarm == "node:shed"]
    assert phases == [Phase.RAISED, Phase.CLEARED] * (len(phases) // 2)  # see README of this folder
    assert spans(told, told.of("shed", health=False)) == spans(told, peace)
    for stream in (f"{kind}-shed" for kind in KINDS):
        samples = told.samples[stream]
        account = told.accounts[stream]
        assert (account.missing, account.spooled, account.dropped) == (0, 0, {})
        begun = [n for n, sample in enumerate(samples) if sample.sequence == 0]
        lives = [samples[: begun[1]], samples[begun[1] :]]
        assert [[s.sequence for s in life] for life in lives] == [
            list(range(len(life))) for life in lives
        ]
        assert told.at_s(lives[0][-1].timestamp_ns) > BROKEN_S - 1.5
        assert told.at_s(lives[1][0].timestamp_ns) < MENDED_S + BACK_S


def test_an_rtsp_server_that_restarts_from_zero_goes_on_in_time(told: Told) -> None:
    raised, _ = raised_and_cleared(told, "street", "node:yard")
    assert raised.summary.startswith("Nothing has come from node yard (cam-yard, mic-yard) since ")
    assert "geheim" not in told.log
    for stream in ("cam-yard", "mic-yard"):
        assert {s.epoch for s in told.samples[stream]} > {0}
        assert_gap(told, stream)
    assert_exact(told, "cam-yard", "mic-yard")


def test_a_microphone_whose_server_goes_is_told_and_heard_again(told: Told) -> None:
    raised, _ = raised_and_cleared(told, "porch", "sight:mic-porch")
    assert raised.summary.startswith("Nothing has come from the microphone mic-porch since ")
    assert {s.epoch for s in told.samples["mic-porch"]} > {0}
    assert_gap(told, "mic-porch")
    assert_exact(told, "mic-porch")


def test_a_broker_that_restarts_is_told_and_listened_to_again(told: Told) -> None:
    raised, _ = raised_and_cleared(told, "cellar", "node:yard")
    assert raised.incomplete == ("boiler", "meter")
    assert {s.epoch for s in told.samples["boiler"]} > {0}
    assert_gap(told, "boiler")
    assert_exact(told, "boiler", "meter")


def test_stamps_that_begin_at_1970_are_told_and_never_put_among_the_others(told: Told) -> None:
    events = [e for e in told.of("cellar", health=True) if e.alarm == "sight:meter"]
    assert [(e.phase, e.degraded) for e in events] == [
        (Phase.RAISED, {"meter": "late"}),
        (Phase.CLEARED, {"meter": "late"}),
    ]
    assert told.at_s(events[0].start_ns) == pytest.approx(RESET_S, abs=1.5)
    assert told.at_s(events[1].end_ns) == pytest.approx(SET_S, abs=2.5)
    wrong = [s for s in told.samples["meter"] if s.timestamp_ns < told.begin_ns // 2]
    assert len(wrong) == pytest.approx((SET_S - RESET_S) * 4, abs=4)


def test_a_system_clock_that_steps_by_an_hour_moves_nothing(told: Told) -> None:
    """Every process saw it, and `calm`, which lived through it, tells what it would in peace."""
    steps = [line for line in told.log.splitlines() if "the system clock stepped" in line]
    assert len(steps) >= 3 * len(NODES)
    for scene in TOYS:
        stamps = [told.at_s(s.timestamp_ns) for s in told.samples[f"mic-{scene}"]]
        assert stamps == sorted(stamps)
        assert stamps[0] > -1.0
        assert stamps[-1] < END_S + 2


def test_a_replay_of_all_that_gives_the_same_events(told: Told) -> None:
    replayed = replay(told.recordings, load_deployment(told.config)).events
    # A stream that is gone is told a moment later, in case its node is: the order may be another.
    assert {e.key: to_json(e) for e in replayed} == {e.key: to_json(e) for e in told.events}
