"""What ``fusewatch init`` writes: it checks green, holds no secret, and can be read by people."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.init import gathering
from nodes.init.plan import Broker, NetworkCamera, Readings, SitePlan
from nodes.init.topics import Hearing
from nodes.init.writing import write
from pipeline.config import check_file, load_deployment
from tests.command_line import fusewatch

FULL = SitePlan(
    scene="hall",
    data=Path("data"),
    devices=("/dev/video0", "/dev/video2"),
    network=(
        NetworkCamera("rtsp://ada:Geheim1@10.0.0.2/a", audio=True),
        NetworkCamera("http://10.0.0.3/stream", video=False, audio=True),
    ),
    microphone=True,
    broker=Broker("broker.lan", 1884, "ada", "Geheim2"),
    readings=(
        Readings("zigbee2mqtt/hall/climate", ("temperature", "battery.level")),
        Readings("shop/hall/climate", ("",)),
    ),
    budget="2/week",
    webhook="https://example.org/hook?key=Geheim3",
    home_assistant=True,
)


def test_everything_that_was_found_is_in_the_file_which_checks_green(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    write(FULL, file)
    report = check_file(file)
    assert [str(problem) for problem in report.problems] == []
    deployment = load_deployment(file)
    assert deployment.scenes["hall"].streams == [
        "hall-camera-1",
        "hall-camera-2",
        "hall-view-1",
        "hall-sound-1",
        "hall-sound-2",
        "hall-microphone",
        "hall-hall-climate",
        "hall-hall-climate-2",
    ]
    assert deployment.scenes["hall"].alarm.budget == "2/week"
    assert deployment.stream("hall-hall-climate").max_gap_s == 300
    told = {sink.type: sink for sink in deployment.alert.sinks}
    assert list(told) == ["console", "jsonl", "mqtt", "webhook"]
    assert (told["mqtt"].host, told["mqtt"].port) == ("broker.lan", 1884)  # type: ignore[attr-defined]
    assert told["mqtt"].password.get_secret_value() == "Geheim2"  # type: ignore[attr-defined]


def test_a_scene_may_be_called_by_a_number(tmp_path: Path) -> None:
    write(replace(FULL, scene="1"), tmp_path / "site.yaml")
    deployment = load_deployment(tmp_path / "site.yaml")
    assert (deployment.name, list(deployment.scenes)) == ("1", ["1"])


def test_home_assistant_can_be_told_without_any_reading_of_its_broker(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    broker = Broker("broker.lan")
    write(
        SitePlan("hall", Path("data"), ("/dev/video0",), broker=broker, home_assistant=True), file
    )
    deployment = load_deployment(file)
    assert [sink.type for sink in deployment.alert.sinks] == ["console", "jsonl", "mqtt"]
    assert deployment.scenes["hall"].streams == ["hall-camera"]


def test_secrets_are_in_files_that_only_we_can_read(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    secrets = write(FULL, file)
    assert "Geheim" not in file.read_text()
    assert len(secrets) == 4
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in secrets)
    assert stat.S_IMODE(secrets[0].parent.stat().st_mode) == 0o700
    assert {one.read_text() for one in secrets} == {
        FULL.network[0].url,
        FULL.network[1].url,
        "Geheim2",
        FULL.webhook,
    }


topics = st.text(min_size=1, max_size=30).filter(lambda t: not set(t) & set("+#\0") and t.strip())
keys = st.text(st.characters(exclude_characters=".[]", exclude_categories=["Cs", "Cc"]), min_size=1)


@example(topics=["${", "$${HOME}"], channel="${")
@given(topics=st.lists(topics, min_size=1, max_size=4, unique=True), channel=keys)
def test_whatever_topics_and_keys_are_called_the_file_says_so(
    tmp_path_factory: pytest.TempPathFactory, topics: list[str], channel: str
) -> None:
    file = tmp_path_factory.mktemp("init") / "site.yaml"
    readings = tuple(Readings(topic, (channel,)) for topic in topics)
    write(SitePlan("hall", Path("data"), broker=Broker("b"), readings=readings), file)
    streams = load_deployment(file).nodes["here"].sources[0].streams  # type: ignore[attr-defined]
    assert [stream.topic for stream in streams] == topics
    assert {stream.channels[0].path for stream in streams} == {channel}


PLANT = SitePlan(
    scene="plant",
    data=Path("data"),
    network=(
        NetworkCamera("rtsp://10.0.0.2/a", audio=True, place="press"),
        NetworkCamera("rtsp://10.0.0.3/a", place="pump-1"),
        NetworkCamera("rtsp://10.0.0.4/a", audio=True, place="press"),
        NetworkCamera("rtsp://10.0.0.5/a"),
    ),
    broker=Broker("broker.lan"),
    readings=(
        Readings("plant/press/vibration", ("x", "y"), 100.0, batch=True, time="t"),
        Readings("plant/pump-1/state", ("rms",), 2.0),
        Readings("plant/pump-10/state", ("rms",)),
    ),
)


def test_each_place_is_a_scene_with_the_topics_that_name_it(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    write(PLANT, file)
    deployment = load_deployment(file)
    assert {name: scene.streams for name, scene in deployment.scenes.items()} == {
        "press": [
            "press-view-1", "press-sound-1", "press-view-2", "press-sound-2", "press-vibration",
        ],
        "pump-1": ["pump-1-view", "pump-1-state"],
        "plant": ["plant-view", "plant-pump-10-state"],
    }  # fmt: skip
    assert {scene.alarm.budget for scene in deployment.scenes.values()} == {"2/day"}
    assert {scene.model.name for scene in deployment.scenes.values()} == {
        "press.model", "pump-1.model", "plant.model",
    }  # fmt: skip


def test_fast_sensors_are_not_taken_for_such_as_tell_changes(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    write(PLANT, file)
    deployment = load_deployment(file)
    fast, often, seldom = deployment.nodes["here"].sources[-1].streams  # type: ignore[attr-defined]
    assert (fast.rate_hz, fast.batch is not None) == (100, True)
    assert (often.rate_hz, seldom.rate_hz) == (2, None)
    assert deployment.stream("plant-pump-10-state").max_gap_s == 300
    assert [scene.latency_s for scene in deployment.scenes.values()] == [2, 1, 1]
    assert deployment.stream("pump-1-state").interpolation is None


@pytest.mark.parametrize(("fastest_hz", "windows"), [(1.0, (20.0, 1.0)), (10.0, (2.0, 0.5))])
def test_windows_are_longer_where_all_is_slow(
    tmp_path: Path, fastest_hz: float, windows: tuple[float, float]
) -> None:
    plan = SitePlan(
        scene="plant",
        data=Path("data"),
        network=(NetworkCamera("rtsp://10.0.0.2/a", place="press"),),
        broker=Broker("broker.lan"),
        readings=(
            Readings("plant/press/state", ("rms",), 1.0),
            Readings("plant/pump-1/state", ("rms",), fastest_hz),
            Readings("plant/pump-2/state", ("rms",), 0.5),
        ),
    )
    file = tmp_path / "plant.yaml"
    write(plan, file)
    assert [str(problem) for problem in check_file(file).problems] == []
    scenes = load_deployment(file).scenes
    assert {name: (one.window_s, one.hop_s) for name, one in scenes.items()} == {
        "press": (2.0, 0.5),
        "plant": windows,
    }


NOW_S = 1_795_000_000.0


def hear(document: object, every_s: float = 0.5, count: int = 6) -> Readings | None:
    hearing = Hearing()
    for number in range(count):
        hearing.take(json.dumps(document).encode(), number * every_s, NOW_S)
    return hearing.readings("t")


def test_lists_of_numbers_are_readings_that_come_together() -> None:
    listed = {"ts": NOW_S * 1000, "rate": 100, "acc": {"x": [1, 2, 3, 4], "y": [1, 2, 3, 4]}}
    assert hear({**listed, "faults": [0, 1]}, every_s=0.04) == Readings(
        "t", ("acc.x", "acc.y"), 100.0, batch=True, time="ts"
    )


def test_a_time_is_no_reading() -> None:
    for unit in (1, 1e3, 1e6, 1e9):
        assert hear({"t": NOW_S * unit, "v": 1}) == Readings("t", ("v",), 2.0, time="t")
    assert hear({"t": NOW_S}) is None
    assert hear({"t": 21.5}) == Readings("t", ("t",), 2.0)


def test_what_comes_seldom_or_was_kept_by_the_broker_has_no_rate() -> None:
    assert hear({"v": 1}, every_s=20) == Readings("t", ("v",))
    assert hear({"v": 1}, count=2) == Readings("t", ("v",))
    hearing = Hearing()
    for came_s in (None, 0.0, 0.1, 7.0, 7.1, 15.0):
        hearing.take(b"1", came_s, NOW_S)
    assert hearing.readings("t") == Readings("t", ("",))


@pytest.mark.parametrize(
    ("message", "found"),
    [
        (b"21.5", ("",)),
        (b'{"t": 21.5, "on": true, "name": "x", "in": {"rh": 40}}', ("t", "in.rh")),
        (b'{"a.b": 1, "": 2, "c[0]": 3, "d": 4}', ("d",)),
        (b'{"a": {"b": {"c": {"too": 1}}}}', ()),
        (b'{"linkquality": 88, "battery": 97, "RSSI": -60, "t": 3}', ("t",)),
        (b"[1, 2]", ()),
        (b"true", ()),
        (b"ON", ()),
        (b"\xff\xfe", ()),
        (json.dumps({f"k{n}": n for n in range(50)}).encode(), tuple(f"k{n}" for n in range(32))),
    ],
)
def test_numbers_are_found_in_messages(message: bytes, found: tuple[str, ...]) -> None:
    hearing = Hearing()
    hearing.take(message, 0.0, NOW_S)
    assert hearing.channels == found


def test_nothing_is_written_when_there_is_nothing_to_watch_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "site.yaml"
    assert fusewatch("init", file, "--yes", "--no-microphone") == 78
    assert "nothing to watch with" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize(("free_gb", "record_gb"), [(500, 20), (22, 5), (0.5, 1)])
def test_recordings_leave_room_on_a_small_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_gb: float, record_gb: int
) -> None:
    asked = []

    def usage(folder: Path) -> SimpleNamespace:
        asked.append(folder)
        return SimpleNamespace(free=free_gb * 1e9)

    monkeypatch.setattr(gathering.shutil, "disk_usage", usage)
    assert gathering.record_gb(tmp_path / "not" / "yet") == record_gb
    assert asked == [tmp_path]


@pytest.mark.parametrize(("record_gb", "file_mb"), [(1, 128), (7, 896), (8, 1024), (20, 1024)])
def test_recordings_are_files_of_which_the_disk_holds_several(
    tmp_path: Path, record_gb: int, file_mb: float
) -> None:
    write(replace(FULL, record_gb=record_gb), tmp_path / "site.yaml")
    record = load_deployment(tmp_path / "site.yaml").fusion.record
    assert record is not None
    assert (record.max_total_gb, record.max_file_mb) == (record_gb, file_mb)


def test_home_assistant_needs_a_broker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--yes", "--no-microphone", "--camera", "/dev/video0", "--home-assistant")
    assert fusewatch("init", tmp_path / "site.yaml", *flags) == 78
    assert "--broker HOST" in capsys.readouterr().err


def test_a_password_file_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    flags = ("--yes", "--no-microphone", "--broker", "b", "--broker-password-file", gone)
    assert fusewatch("init", tmp_path / "site.yaml", *flags) == 78
    assert str(gone) in capsys.readouterr().err


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("mine")
    assert fusewatch("init", file, "--yes", "--camera", "/dev/video0") == 78
    assert "--force" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_what_cannot_be_used_is_said_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "site.yaml"
    flags = ("--yes", "--no-microphone", "--camera", "/dev/video0", "--budget", "2/fortnight")
    assert fusewatch("init", file, *flags) == 78
    assert "site.yaml:" in (said := capsys.readouterr().err)
    assert "2/week" in said
