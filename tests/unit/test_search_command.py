"""``fusewatch search`` by the command line, on a machine whose faults come again and again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nodes.shipped import shipped_config
from pipeline.core.event import from_json, to_json
from pipeline.models.checkpoint import load_model, save_model
from pipeline.store import Commit, FusionStore
from tests.command_line import fusewatch
from tests.event_samples import event
from tests.imported_site import write_sound

CONFIG = shipped_config("imported.yaml")
START, LATER = "2024-05-01T08:00:00Z", "2024-05-01T09:00:00Z"
HZ, RATE = 4, 4000
NORMAL_S, EVERY_S, LASTS_S = 120, 10, 4
KINDS = ("slow", "hot", "beep", "hot", "beep", "slow", "beep", "slow", "hot")
LENGTH_S = NORMAL_S + EVERY_S * len(KINDS)


def begins(kind: str) -> list[float]:
    """Seconds at which a kind of fault begins."""
    return [float(NORMAL_S + EVERY_S * at) for at, one in enumerate(KINDS) if one == kind]


@dataclass(frozen=True, slots=True)
class Site:
    """A recording with its model, and another recording made an hour later."""

    recording: Path
    later: Path
    model: Path

    def search(self, *options: object) -> list[object]:
        return ["search", CONFIG, "--model", self.model, *options]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    made = Site(folder / "site.mcap", folder / "later.mcap", folder / "site.model")
    for recording, seed, start in ((made.recording, 1, START), (made.later, 2, LATER)):
        readings, wave = folder / f"{seed}.csv", folder / f"{seed}.wav"
        write_machine(readings, wave, np.random.default_rng(seed))
        files = ["--sensors", readings, "--audio", wave, "-o", recording]
        assert fusewatch("import", "--scene", "site", "--start", start, *files) == 0
    learnt = ["--recording", made.recording, "--to", NORMAL_S, "-o", made.model]
    assert fusewatch("commission", CONFIG, *learnt) == 0
    return made


def write_machine(readings: Path, wave: Path, random: np.random.Generator) -> None:
    """Readings and sound of a machine with all the faults; the noise differs."""
    times = np.arange(LENGTH_S * HZ) / HZ
    speed = 1480 + 20 * np.sin(times / 3) + random.normal(0, 4, len(times))
    heat = 40 + random.normal(0, 0.2, len(times))
    sound = random.normal(0, 0.01, LENGTH_S * RATE)
    for kind, values in (("slow", speed), ("hot", heat)):
        for start_s in begins(kind):
            at = slice(round(start_s * HZ), round((start_s + LASTS_S) * HZ))
            values[at] += -200 if kind == "slow" else 8
    for start_s in begins("beep"):
        at = slice(round(start_s * RATE), round((start_s + LASTS_S) * RATE))
        sound[at] += 0.05 * np.sin(2 * np.pi * 1300 * np.arange(LASTS_S * RATE) / RATE)
    rows = zip(times, speed, heat, strict=True)
    lines = ["seconds;speed;heat", *(f"{t:.2f};{a:.2f};{b:.3f}" for t, a, b in rows)]
    readings.write_text("\n".join(lines) + "\n")
    write_sound(wave, sound.astype(np.float32), RATE)


def answer(capsys: pytest.CaptureFixture[str], site: Site, *options: object):
    capsys.readouterr()
    assert fusewatch(*site.search("--json", *options)) == 0
    return json.loads(capsys.readouterr().out)


def kinds_of(moments: Sequence[dict], recording: str | None = None) -> list[str]:
    """Kind of fault that the likest window of each moment shows; empty: none."""
    found = []
    for moment in moments:
        second = moment["seconds"]
        shown = [k for k in set(KINDS) for b in begins(k) if b - 2 < second < b + LASTS_S]
        if recording in (None, moment["recording"]):
            found.append(shown[0] if shown else "")
    return found


@pytest.mark.parametrize("kind", ["slow", "hot", "beep"])
def test_a_search_like_one_fault_finds_the_others_of_its_kind_first(
    kind: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = begins(kind)
    found = answer(capsys, site, "-r", site.recording, "--like", first + 2, "--top", 3)
    assert first <= found["like"]["seconds"] <= first + 2
    assert kinds_of(found["moments"])[:2] == [kind, kind]
    assert sorted(m["seconds"] for m in found["moments"][:2]) == pytest.approx(others, abs=3)
    assert found["moments"][0]["similarity"] > found["moments"][2]["similarity"] + 0.1
    assert found["moments"][0]["p"] < 0.05


def test_seconds_and_written_times_mean_the_same(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["-r", site.recording, "--like"]
    by_seconds = answer(capsys, site, *search, "121.5")
    for text in ("2024-05-01T08:02:01.5Z", "2024-05-01T10:02:01.5+02:00", "2024-05-01 08:02:01.5"):
        assert answer(capsys, site, *search, text) == by_seconds
    assert by_seconds["like"]["start"] == "2024-05-01T08:02:00.500Z"


def test_an_event_is_looked_for_by_its_peak_from_a_file_and_from_the_store(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, scores = tmp_path / "events.jsonl", tmp_path / "scores.csv"
    config = ["--config", CONFIG, "--model", site.model, "--from", NORMAL_S - 5]
    assert fusewatch("replay", site.recording, *config, "--events", file, "--scores", scores) == 0
    phases = [from_json(line) for line in file.read_bytes().splitlines()]
    raised = phases[0]
    last = max((p for p in phases if p.id == raised.id), key=lambda phase: phase.revision)
    search = ["-r", site.recording, "--like", raised.id]
    found = answer(capsys, site, *search, "--events", file)
    assert found["like"]["p"] == pytest.approx(last.p)
    assert kinds_of([found["like"], *found["moments"][:2]]) == ["slow"] * 3
    monkeypatch.setenv("IMPORTED_DATA", str(tmp_path))
    assert fusewatch(*site.search(*search)) == 69
    assert "no such store yet" in capsys.readouterr().err
    with closing(FusionStore(tmp_path / "fusion.db")) as store:
        store.commit(Commit(events=phases))
    assert answer(capsys, site, "-r", site.recording, "--like", raised.id[:9]) == found
    assert fusewatch(*site.search("-r", site.recording, "--like", "abcdef")) == 69
    assert "no event begins with 'abcdef'" in capsys.readouterr().err


def test_a_search_by_one_stream_ignores_the_others(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    like = ["-r", site.recording, "--like", begins("beep")[0] + 2, "--top", 2]
    heard = answer(capsys, site, *like, "--streams", "site-audio=2")
    assert kinds_of(heard["moments"]) == ["beep", "beep"]
    assert set(heard["moments"][0]["streams"]) == {"site-audio"}
    read = answer(capsys, site, *like, "--streams", "site-sensors")
    assert "beep" not in kinds_of(read["moments"])


def test_an_index_is_made_once_and_grows_by_new_recordings(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = tmp_path / "all.index"
    search = ["--index", index, "--like", begins("hot")[0] + 2]
    first = answer(capsys, site, *search, "-r", site.recording)
    made = index.stat().st_mtime_ns, index.read_bytes()
    assert answer(capsys, site, *search, "-r", site.recording) == first
    assert (index.stat().st_mtime_ns, index.read_bytes()) == made
    both = answer(capsys, site, *search, "-r", site.recording, "-r", site.later, "--top", 5)
    assert both["windows"] == 2 * first["windows"]
    assert kinds_of(both["moments"]) == ["hot"] * 5
    assert sum(m["recording"] == "later.mcap" for m in both["moments"]) == 3
    assert answer(capsys, site, *search, "--top", 5) == both  # the index alone holds all of it
    beside = answer(capsys, site, *search[2:], "-r", site.recording, "-r", site.later, "--top", 5)
    assert beside == both
    assert site.later.with_name("later.mcap.site.index").exists()


def test_a_recording_that_has_grown_is_taken_in_anew(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grown = tmp_path / "day" / "site.mcap"
    search = ["-r", grown, "--index", tmp_path / "i"]
    write_short(grown, 12, START)
    short = answer(capsys, site, *search, "--like", "2024-05-01T08:00:05Z")
    assert fusewatch(*site.search(*search, "--like", "2024-05-01T08:00:15Z")) == 69
    assert "no window shows 2024-05-01T08:00:15.000Z" in capsys.readouterr().err
    write_short(grown, 20, START)
    longer = answer(capsys, site, *search, "--like", "2024-05-01T08:00:15Z")
    assert longer["windows"] == short["windows"] + 16
    write_short(grown, 12, LATER)  # another day's, of the same name
    both = answer(capsys, site, *search, "--like", "5")
    assert both["like"]["start"].startswith("2024-05-01T09:00:0")
    assert both["windows"] == longer["windows"] + short["windows"]


def write_short(recording: Path, seconds: int, start: str) -> None:
    """A recording of the machine without any fault."""
    recording.parent.mkdir(exist_ok=True)
    readings, wave = recording.with_suffix(".csv"), recording.with_suffix(".wav")
    random = np.random.default_rng(seconds)
    rows = "".join(f"{at / HZ};1480;{random.normal(40, 0.2):.3f}\n" for at in range(seconds * HZ))
    readings.write_text("seconds;speed;heat\n" + rows)
    write_sound(wave, random.normal(0, 0.01, seconds * RATE).astype(np.float32), RATE)
    recording.unlink(missing_ok=True)
    files = ["--sensors", readings, "--audio", wave, "-o", recording]
    assert fusewatch("import", "--scene", "site", "--start", start, *files) == 0


def test_an_index_of_another_model_is_refused_with_the_way_out(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["-r", site.recording, "--like", 121]
    assert fusewatch(*site.search(*search)) == 0
    other = tmp_path / "other.model"
    save_model(replace(load_model(site.model), created_by="another"), other)
    assert fusewatch("search", CONFIG, "--model", other, *search) == 78
    said = capsys.readouterr().err
    assert "site.mcap.site.index: made by model" in said
    assert "delete it and it is made again" in said


def test_words_are_looked_for_by_an_encoder_that_reads_them(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    from tests.model_samples import tiny_pretrained
    from tests.requirements import require_module

    require_module("transformers")
    from transformers import BertTokenizer

    torch.set_num_threads(1)
    folder = tiny_pretrained("clap", tmp_path)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "beep"]
    BertTokenizer(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(folder)
    short = tmp_path / "short.mcap"
    write_short(short, 12, START)
    words = ["-r", short, "--text", "a beep", "--encoder", folder]
    found = answer(capsys, site, *words, "--top", 2)
    assert found["text"] == "a beep"
    assert [set(m["streams"]) for m in found["moments"]] == [{"site-audio"}] * 2
    assert found["moments"][0]["p"] is None
    assert found["moments"][0]["similarity"] == found["moments"][0]["streams"]["site-audio"]
    assert fusewatch(*site.search(*words, "--streams", "site-sensors")) == 70
    assert "the encoder saw nothing of site-sensors" in capsys.readouterr().err
    assert found["moments"][0]["similarity"] >= found["moments"][1]["similarity"]
    assert short.with_name("short.mcap.site.text.index").exists()
    assert fusewatch(*site.search(*words)) == 0
    assert "like 'a beep'" in capsys.readouterr().out
    assert fusewatch(*site.search(*words[:4])) == 78
    assert "give --encoder FOLDER" in capsys.readouterr().err
    own = tmp_path / "own.yaml"
    named = CONFIG.read_text().replace(
        "window_s: 2.0", f"window_s: 2.0\n    text_encoder: {folder}"
    )
    own.write_text(named)
    capsys.readouterr()
    assert fusewatch("search", own, *words[:4], "--top", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out) == found


def test_people_get_a_table(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert fusewatch(*site.search("-r", site.recording, "--like", 121, "--top", 2)) == 0
    said = capsys.readouterr().out
    assert "second 120.0 of site.mcap" in said
    assert "windows compared" in said


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["-r", "FILE"], 64, "write either --like or --text"),
        (["-r", "FILE", "--like", "1", "--text", "x"], 64, "write either --like or --text"),
        (["--like", "1"], 64, "name a recording, or an --index"),
        (["-r", "FILE", "--like", "soon"], 64, "no id of an event"),
        (["-r", "FILE", "--like", "9999"], 69, "the recordings show 2024-05-01T08:00:00"),
        (["-r", "FILE", "--like", "9", "--streams", "cam"], 64, "no stream 'cam' in the index"),
        (["-r", "FILE", "--like", "9", "--streams", "site-audio=no"], 64, "not a number above 0"),
        (["-r", "none.mcap", "--like", "9"], 69, "none.mcap"),
        (["--index", "none.index", "--like", "9"], 69, "no index there yet"),
        (["-r", "FILE", "--like", "0" * 20, "--events", "none.jsonl"], 78, "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(
    options: list[str], code: int, said: str, site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = [site.recording if option == "FILE" else option for option in options]
    assert fusewatch(*site.search(*typed)) == code
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_scene_without_a_model_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert fusewatch("search", CONFIG, "-r", site.recording, "--like", "9") == 78
    assert "has no model to search with (give --model" in capsys.readouterr().err


def test_a_file_that_holds_no_events_is_told_with_its_line(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "e.jsonl"
    file.write_bytes(to_json(event()) + b"\n{}\n")
    assert fusewatch(*site.search("-r", site.recording, "--like", "abcd", "--events", file)) == 78
    assert f"{file}:2: not an event" in capsys.readouterr().err
