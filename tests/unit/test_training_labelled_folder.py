"""Which files of a folder are one sample, and how they become windows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.sample import Modality
from pipeline.core.window import AudioSlice, SensorSlice, TextSlice, VideoSlice
from pipeline.training.dealing import SplitSettings, deal_out
from pipeline.training.labelled_folder import LabelledFolder, Split, read_folder
from pipeline.training.reading_fit import fit_reading
from pipeline.training.sample_parts import Reading, ReadingSettings
from pipeline.training.sample_reading import SampleReader, modalities_of, streams_of
from tests.labelled_samples import RATE, READING, write_picture, write_sides, write_sound
from tests.media_files import write_clip

SETTINGS = Reading.model_validate(READING | {"readings_hz": 10.0, "silent_after": False})
RANDOM = np.random.default_rng(0)


def put(folder: Path, *names: str) -> Path:
    """Empty files, which is enough to be found."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def found(folder: LabelledFolder) -> dict[str, tuple[str, set[str], Split | None]]:
    return {s.name: (s.label, {str(m) for m in s.files}, s.split) for s in folder.samples}


def reasons(folder: LabelledFolder) -> dict[str, str]:
    return {one.path: one.reason for one in folder.unusable}


def test_files_of_one_stem_or_one_folder_are_one_sample(tmp_path: Path) -> None:
    put(
        tmp_path,
        "dog/1.jpg",
        "dog/1.WAV",
        "dog/1.txt",
        "dog/2.5.flac",
        "cat/x/a.mp4",
        "cat/x/b.csv",
    )
    assert found(read_folder(tmp_path)) == {
        "dog/1": ("dog", {"video", "audio", "text"}, None),
        "dog/2.5": ("dog", {"audio"}, None),
        "cat/x": ("cat", {"video", "sensor"}, None),
    }
    assert read_folder(tmp_path).classes == ("cat", "dog")
    assert read_folder(tmp_path).modalities == tuple(Modality)


def test_what_cannot_be_used_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "a/1.png", "a/2.docx", "a/.hidden", "b/3.wav", "notes.txt")
    folder = read_folder(tmp_path)
    assert set(found(folder)) == {"a/1", "b/3"}
    assert reasons(folder) == {
        "a/1.png": "a second file of video in one sample",
        "a/2.docx": "files of kind '.docx' are not read",
    }


def test_folders_may_say_what_is_for_what(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.wav", "train/b/2.wav", "val/a/3.wav", "test/b/4.wav")
    assert {name: s for name, (_, _, s) in found(read_folder(tmp_path)).items()} == {
        "train/a/1": Split.TRAIN,
        "train/b/2": Split.TRAIN,
        "val/a/3": Split.HELD_OUT,
        "test/b/4": Split.TEST,
    }


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    put(tmp_path, "test/1.wav", "real/2.wav")
    assert read_folder(tmp_path).classes == ("real", "test")


def test_a_table_may_say_it(tmp_path: Path) -> None:
    put(tmp_path, "all/1.wav", "all/1.jpg", "all/2.wav", "deep/3/x.wav", "all/4.wav")
    table = ["Sample,class,split", "all/1.wav,a,train", "all/2,b,test", "deep/3,b,"]
    table += ["all/9.wav,a,train", "all/4,,train", "all/4,a,sometimes"]
    (tmp_path / "labels.csv").write_text("\n".join(table))
    folder = read_folder(tmp_path)
    assert found(folder) == {
        "all/1": ("a", {"video", "audio"}, Split.TRAIN),
        "all/2": ("b", {"audio"}, Split.TEST),
        "deep/3": ("b", {"audio"}, None),
    }
    assert reasons(folder)["labels.csv:5"] == "no file of this name"
    assert "needs a sample, a class" in reasons(folder)["labels.csv:6"]
    assert "known split" in reasons(folder)["labels.csv:7"]


def test_a_table_may_write_whole_paths_of_what_is_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "data/all/1.wav", "elsewhere/2.wav")
    inside, outside = tmp_path / "data" / "all" / "1.wav", tmp_path / "elsewhere" / "2.wav"
    (tmp_path / "data" / "labels.csv").write_text(f"sample,class\n{inside},a\n{outside},b\n")
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "data", Path("data")):
        folder = read_folder(root)
        assert found(folder) == {"all/1": ("a", {"audio"}, None)}
        assert folder.samples[0].files[Modality.AUDIO] == root / "all" / "1.wav"
        assert reasons(folder) == {"labels.csv:3": "a path outside of the folder"}


def test_a_folder_without_samples_or_a_table_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(ConfigError, match="holds no samples"):
        read_folder(tmp_path)
    put(tmp_path, "a/1.pdf")
    with pytest.raises(ConfigError, match=r"holds no samples \(files of kind '.pdf'"):
        read_folder(tmp_path)
    (tmp_path / "labels.csv").write_text("sample,kind\na/1,x\n")
    with pytest.raises(ConfigError, match="no column class"):
        read_folder(tmp_path)


def test_samples_are_dealt_out_class_by_class_and_by_seed() -> None:
    labels = ["a"] * 40 + ["b"] * 10 + ["c"] * 3
    splits: list[Split | None] = [None] * len(labels)
    settings = SplitSettings(test_share=0.25, held_out_share=0.2)
    dealt = deal_out(labels, splits, settings, 3)
    assert sorted(row for rows in dealt.values() for row in rows) == list(range(53))
    counts = {s: [sum(labels[r] == c for r in rows) for c in "abc"] for s, rows in dealt.items()}
    assert counts == {Split.TEST: [10, 2, 1], Split.HELD_OUT: [6, 2, 1], Split.TRAIN: [24, 6, 1]}
    assert deal_out(labels, splits, settings, 3) == dealt
    assert deal_out(labels, splits, settings, 4) != dealt


def test_what_the_folder_says_is_kept() -> None:
    labels = ["a", "a", "a", "b", "b", "b"]
    splits = [Split.TRAIN, Split.TRAIN, Split.TEST] * 2
    dealt = deal_out(labels, splits, SplitSettings(), 0)
    assert dealt[Split.TEST] == [2, 5]
    assert len(dealt[Split.HELD_OUT]) == len(dealt[Split.TRAIN]) == 2
    with pytest.raises(ConfigError, match=r"'b' has 1 samples to learn from .* at least 2"):
        deal_out(labels[:5], [*splits[:4], Split.TEST], SplitSettings(), 0)
    with pytest.raises(ConfigError, match="two classes or more, here is a"):
        deal_out(["a"] * 9, [None] * 9, SplitSettings(), 0)


def read(folder: Path, sample: str, settings: Reading = SETTINGS):
    """Windows of one sample, and what was unusable in it."""
    labelled = read_folder(folder)
    reader = SampleReader(settings, streams_of(labelled, settings))
    return reader.read(next(s for s in labelled.samples if s.name == sample))


def test_every_kind_of_file_becomes_a_slice(tmp_path: Path) -> None:
    put(tmp_path, "a/1.wav")
    write_picture(tmp_path / "a" / "1.png", RANDOM, right=True)
    write_sound(tmp_path / "a" / "1.wav", RANDOM, 300.0, seconds=0.3)
    (tmp_path / "a" / "1.txt").write_text("first line\n\n second \n")
    rows = [f"{0.1 * i:.1f},{i},{10 - i}" for i in range(6)]
    (tmp_path / "a" / "1.csv").write_text("time,up,down\n" + "\n".join(rows))
    (window,), bad = read(tmp_path, "a/1")
    assert bad == []
    assert (window.start_ns, window.end_ns) == (0, 500_000_000)
    picture, sound, text, table = (
        window.slices[name] for name in ("picture", "sound", "text", "readings")
    )
    assert isinstance(picture, VideoSlice)
    assert isinstance(sound, AudioSlice)
    assert isinstance(text, TextSlice)
    assert isinstance(table, SensorSlice)
    assert picture.coverage == sound.coverage == text.coverage == table.coverage == 1.0
    assert {frame.data.shape for frame in picture.frames if frame} == {(30, 40, 3)}
    assert sound.samples.shape == (RATE // 2, 1)
    assert np.abs(sound.samples[:1200]).max() > 0.15
    assert (sound.samples[1200:] == 0).all()
    assert sound.present.tolist() == [True] * 1200 + [False] * 800  # its end is not silence
    assert sound.filled == 0.6
    assert text.lines == ("first line", "second")
    assert table.info.channels == ("up", "down")
    np.testing.assert_allclose(table.values.sum(axis=1), 10.0)
    assert (np.diff(table.values[:, 0]) > 0).all()


def test_a_longer_sample_becomes_several_windows_spread_evenly(tmp_path: Path) -> None:
    put(tmp_path, "a/1.wav")
    write_picture(tmp_path / "a" / "1.png", RANDOM, right=True)
    write_sound(tmp_path / "a" / "1.wav", RANDOM, 300.0, seconds=1.25)
    windows, _ = read(tmp_path, "a/1")
    assert [w.start_ns for w in windows] == [0, 375_000_000, 750_000_000]
    assert all(set(w.slices) == {"picture", "sound"} for w in windows)
    assert all(part.coverage == 1.0 for w in windows for part in w.slices.values())
    few, _ = read(tmp_path, "a/1", SETTINGS.model_copy(update={"windows": 2}))
    assert [w.start_ns for w in few] == [0, 750_000_000]


def test_a_clip_gives_its_frames_in_time_and_its_own_sound(tmp_path: Path) -> None:
    put(tmp_path, "a/1.mp4", "a/2.wav")
    write_clip(tmp_path / "a" / "1.mp4", seconds=2.0, frequency_hz=440.0)
    windows, bad = read(tmp_path, "a/1", SETTINGS.model_copy(update={"window_s": 1.0}))
    assert bad == []
    assert len(windows) == 2 or len(windows) == 3  # sound is padded to whole blocks
    for window in windows:
        picture = window.slices["picture"]
        assert isinstance(picture, VideoSlice)
        shown = [frame.timestamp_ns for frame in picture.frames if frame]
        assert shown == sorted(shown)
        assert all(window.start_ns <= t < window.end_ns for t in shown)
        sound = window.slices["sound"]
        assert isinstance(sound, AudioSlice)
        spectrum = np.abs(np.fft.rfft(sound.samples[:, 0]))
        assert abs(int(spectrum.argmax()) - 440) <= 2


def test_clips_are_heard_where_the_folder_has_no_file_of_sound(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_clip(tmp_path / "a" / "1.mp4", audio=None)
    assert modalities_of(read_folder(tmp_path)) == (Modality.VIDEO,)
    write_clip(tmp_path / "a" / "2.mp4", seconds=2.0, frequency_hz=440.0)
    assert modalities_of(read_folder(tmp_path)) == (Modality.VIDEO, Modality.AUDIO)
    told = {name: read(tmp_path, name) for name in ("a/1", "a/2")}
    assert all(unusable == [] for _, unusable in told.values())
    assert [set(windows[0].slices) for windows, _ in told.values()] == [
        {"picture"},
        {"picture", "sound"},
    ]


def test_a_network_of_before_hears_silence_after_a_short_sound(tmp_path: Path) -> None:
    put(tmp_path, "a/1.wav")
    write_sound(tmp_path / "a" / "1.wav", RANDOM, 300.0, seconds=0.3)
    saved = SETTINGS.model_dump(exclude={"silent_after"})
    (window,), _ = read(tmp_path, "a/1", Reading.model_validate(saved))
    sound = window.slices["sound"]
    assert isinstance(sound, AudioSlice)
    assert sound.present.all()
    assert (sound.samples[1200:] == 0).all()
    assert sound.coverage == 1.0
    fitted = fit_reading(ReadingSettings.model_validate(READING), read_folder(tmp_path))
    assert not fitted.silent_after


def test_of_a_sound_that_ended_long_before_the_clip_there_is_nothing_to_hear(
    tmp_path: Path,
) -> None:
    put(tmp_path, "a/1.mp4", "a/1.wav")
    write_clip(tmp_path / "a" / "1.mp4", seconds=3.0)
    write_sound(tmp_path / "a" / "1.wav", RANDOM, 300.0, seconds=1.25)
    windows, _ = read(tmp_path, "a/1", SETTINGS.model_copy(update={"window_s": 1.0}))
    heard = [window.slices["sound"].coverage for window in windows]
    assert heard == pytest.approx([1.0, 0.25, 0.0])


def test_windows_fit_the_files_where_nobody_says_how_long_they_are(tmp_path: Path) -> None:
    def fitted(**said: float) -> tuple[float, float]:
        reading = fit_reading(ReadingSettings.model_validate(said), read_folder(tmp_path))
        return reading.window_s, reading.readings_hz

    put(tmp_path, "a/0.csv")
    for number, rows in enumerate((30, 60, 90)):
        lines = [f"{60 * row},{row}" for row in range(rows + 1)]
        (tmp_path / "a" / f"{number + 1}.csv").write_text("time,x\n" + "\n".join(lines))
    assert fitted() == pytest.approx((3600.0, 1 / 60), abs=1e-5)  # the whole of the middle one
    assert fitted(window_s=7.0) == pytest.approx((7.0, 1 / 60), abs=1e-5)
    assert fitted(readings_hz=2.0) == (3600.0, 2.0)
    write_picture(tmp_path / "a" / "1.png", RANDOM, right=True)
    assert fitted()[0] == 3600.0
    write_sound(tmp_path / "a" / "2.wav", RANDOM, 300.0)
    assert fitted() == pytest.approx((1.0, 1 / 60), abs=1e-5)
    for table in tmp_path.glob("a/*.csv"):
        table.unlink()
    assert fitted() == (1.0, 10.0)


@pytest.mark.parametrize(
    ("step_s", "rows", "window_s", "readings_hz"),
    [(1 / 12_000, 1200, 0.1, 10_000.0), (86_400, 200, 1e7, 1 / 86_400)],
    ids=["12 kHz", "200 days"],
)
def test_tables_that_windows_cannot_follow_are_read_as_well_as_they_can(
    tmp_path: Path, step_s: float, rows: int, window_s: float, readings_hz: float
) -> None:
    lines = [f"{step_s * row:.7f},{row}" for row in range(rows)]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.csv").write_text("time,x\n" + "\n".join(lines))
    reading = fit_reading(ReadingSettings(), read_folder(tmp_path))
    assert reading.window_s == pytest.approx(window_s, rel=1e-3)
    assert reading.readings_hz == pytest.approx(readings_hz, rel=0.05)
    windows, unusable = read(tmp_path, "a/1", reading)
    assert unusable == []
    readings = windows[0].slices["readings"]
    assert isinstance(readings, SensorSlice)
    assert readings.present.all()


def test_damaged_files_are_named_with_a_reason_and_their_sample_goes_on(tmp_path: Path) -> None:
    write_sides(tmp_path, 4, kinds="sound")
    right = tmp_path / "right"
    (right / "001.png").write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    (right / "001.txt").write_bytes(b"\xff\xfe\xff\xff\x00")
    (right / "001.csv").write_text("no numbers,here\nx,y\n")
    (tmp_path / "left" / "000.wav").write_bytes(b"RIFF")
    windows, bad = read(tmp_path, "right/001")
    assert [set(w.slices) for w in windows] == [{"sound"}]
    assert {one.path: one.reason for one in bad} == {
        "right/001.png": "not a picture",
        "right/001.txt": "not text in UTF-8",
        "right/001.csv": "no column holds times",
    }
    windows, bad = read(tmp_path, "left/000")
    assert windows == []
    assert [one.path for one in bad] == ["left/000.wav"]


def test_what_of_a_table_is_not_used_is_said(tmp_path: Path) -> None:
    put(tmp_path, "a/1.csv")
    (tmp_path / "a" / "1.csv").write_text(
        "when,x\n0,1\n0.1,2\n0.2,3\n0.3,4\nlate,5\n0.1,6\n0.4,7\n"
    )
    (window,), bad = read(tmp_path, "a/1")
    assert window.slices["readings"].coverage == 1.0
    assert [(one.path, one.reason) for one in bad] == [
        ("a/1.csv", "column 'when' is taken for the time"),
        ("a/1.csv", "rows whose time cannot be read or goes back"),
    ]


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    put(tmp_path, "a/1.csv")
    (tmp_path / "a" / "1.csv").write_text("time,x,y\n0,1,2\n0.25,1,2\n0.5,1,2\n")
    (tmp_path / "a" / "2.csv").write_text("time,y,z\n0,5,9\n0.25,5,9\n0.5,5,9\n")
    (tmp_path / "a" / "3.csv").write_text("time,z\n0,5\n0.25,5\n0.5,5\n")
    (window,), _ = read(tmp_path, "a/2")
    values = window.slices["readings"]
    assert isinstance(values, SensorSlice)
    assert np.isnan(values.values[:, 0]).all()
    assert (values.values[:, 1] == 5).all()
    assert values.coverage == 0.5
    windows, bad = read(tmp_path, "a/3")
    assert windows == []
    assert bad[0].reason == "has no column x, y"


def test_pictures_of_any_size_and_kind_are_brought_to_one(tmp_path: Path) -> None:
    put(tmp_path, "a/1.jpg", "a/2.png")
    cv2.imwrite(str(tmp_path / "a" / "1.jpg"), np.full((111, 77, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "a" / "2.png"), np.full((20, 300), 90, np.uint8))
    for name in ("a/1", "a/2"):
        (window,), bad = read(tmp_path, name)
        picture = window.slices["picture"]
        assert isinstance(picture, VideoSlice)
        assert bad == []
        assert picture.frames[0] is not None
        assert np.abs(picture.frames[0].data.astype(int) - 90).max() <= 2
