"""Evidence is sealed once it is whole, and what an event names of sound is drawn in time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np

from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.event import Event, Phase
from pipeline.core.explanation import Band, Basis, Explanation
from pipeline.core.sample import Sample
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.evidence_files import MATERIAL, NOTE, EvidenceFiles
from pipeline.detection.score import WindowScore
from pipeline.recording import Recording
from pipeline.store.evidence_manifest import MANIFEST, Manifest, Standing, check
from tests.unit.test_detection_evidence import CAMERA, MIC, SECOND, chunk, event, frame, window

STREAMS = {"room": ("cam", "mic")}
LOUD = Explanation(kind=Basis.SINGLE, bands=(Band("mic", 500.0, 900.0, 0.2, 0.8, -9.0, -60, -50),))


def lived(keeper: EvidenceKeeper, explanation: Explanation | None = None) -> tuple[Event, Event]:
    """An event from its first sample to its end."""
    for info in (CAMERA, MIC):
        keeper.open(StreamOpened(0, "pi", info))
    told: dict[int, Event] = {}
    for i in range(150):
        for sample in (frame(i), chunk(i)):
            keeper.keep(SampleArrived(sample.timestamp_ns, "pi", sample))
        if i % 5 == 0:
            start_ns = (i - 20) * SECOND // 10
            keeper.scored(WindowScore("room", i // 5, start_ns, start_ns + 2 * SECOND, 0.1), 3.0)
        if i == 119:
            raised = event(Phase.RAISED, 0, explanation=explanation)
            told[0] = keeper.attach(raised, window(10, 12), 10 * SECOND)
    cleared = event(Phase.CLEARED, 1, explanation=explanation)
    return told[0], keeper.attach(cleared, window(13, 15), 10 * SECOND)


def pictures(clip: Path) -> list[int]:
    """Brightness of each frame."""
    with av.open(str(clip)) as container:
        return [round(f.to_ndarray(format="gray").mean()) for f in container.decode(video=0)]


def test_the_recording_holds_both_streams_from_before_the_start_with_scores_and_phases(tmp_path):
    files = EvidenceFiles(tmp_path)
    _, cleared = lived(EvidenceKeeper(5.0, files, STREAMS))
    files.close()
    assert files.failed == 0
    with Recording(tmp_path / cleared.evidence.recording) as recording:
        assert {n: t.samples for n, t in recording.totals.items()} == {"cam": 100, "mic": 100}
        assert [e.phase for _, e in recording.events()] == [Phase.RAISED, Phase.CLEARED]
        assert list(recording.events())[-1][1] == cleared
        assert [s.index for s in recording.scores()] == list(range(11, 30))
        arrivals = [a.arrival_ns for a in recording.arrivals()]
        assert arrivals == sorted(arrivals)


def test_a_seal_that_nobody_took_is_offered_by_the_next_run_and_nothing_is_made_anew(tmp_path):
    files = EvidenceFiles(tmp_path, sealing=True)
    lived(EvidenceKeeper(5.0, files, STREAMS))
    files.close()
    (digest,) = files.sealed().values()
    made = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "e1").iterdir()}
    assert NOTE in made and MATERIAL not in made
    again = EvidenceFiles(tmp_path, sealing=True)
    again.work_off(["another scene"])
    again.settle()
    again.finished(60.0)
    assert again.sealed() == {}, "whoever fuses that scene does it"
    again.work_off([event(Phase.CLEARED, 1).scene])
    lived(EvidenceKeeper(1.0, again, STREAMS))  # and the event comes once more, in part
    again.close()
    assert again.sealed() == {"e1": digest}
    assert {p.name: p.stat().st_mtime_ns for p in (tmp_path / "e1").iterdir()} == made
    again.put_away(["e1"])
    assert not (tmp_path / "e1" / NOTE).exists() and again.sealed() == {}
    assert {one.standing for one in check(tmp_path / "e1", digest)} == {Standing.GOOD}


def test_what_is_held_is_made_with_the_better_frames_that_came(tmp_path):
    def fuller(folder: Path, frames: list[Sample], why: str) -> list[Sample]:
        (folder / "why.txt").write_text(why)
        bright = np.full((48, 64, 3), 200, np.uint8)
        return [replace(f, data=bright) if f.timestamp_ns >= 6 * SECOND else f for f in frames]

    files = EvidenceFiles(tmp_path, sealing=True, fuller=fuller)
    keeper = EvidenceKeeper(5.0, _Holding(files), STREAMS)  # type: ignore[arg-type]
    _, cleared = lived(keeper)
    files.settle()
    files.finished(0.0)
    assert not (tmp_path / "e1" / MANIFEST).exists() and files.sealed() == {}
    files.make("e1", "the link was slow")
    files.close()
    shown = pictures(tmp_path / cleared.evidence.clip)
    assert max(shown[:9]) < 80 and min(shown[11:]) > 150
    names = {one.name for one in check(tmp_path / "e1", files.sealed()["e1"])}
    assert "why.txt" in names
    with Recording(tmp_path / cleared.evidence.recording) as recording:
        assert recording.totals["cam"].samples == 100


class _Holding:
    """Passes everything on but lets what is over wait."""

    def __init__(self, files: EvidenceFiles) -> None:
        self._files = files
        self.keep, self.snapshot, self.draw = files.keep, files.snapshot, files.draw

    def finish(self, wanted: object) -> None:
        self._files.finish(wanted, hold=True)  # type: ignore[arg-type]


def test_the_sound_is_drawn_when_the_event_is_raised_and_anew_when_it_is_over(tmp_path):
    files = EvidenceFiles(tmp_path)
    keeper = EvidenceKeeper(5.0, _Holding(files), STREAMS)  # type: ignore[arg-type]
    raised, cleared = lived(keeper, LOUD)
    files.settle()
    name = raised.evidence.spectrogram
    first = (tmp_path / name).read_bytes()
    files.make("e1")
    files.close()
    assert files.failed == 0
    assert cleared.evidence.spectrogram == name == "e1/spectrogram.png"
    assert cv2.imread(str(tmp_path / name)).shape == (312, 880, 3)
    assert (tmp_path / name).read_bytes() != first, "three more seconds are in it"


def test_an_event_that_explains_no_sound_and_no_channel_has_no_picture_of_them(tmp_path):
    evidence = lived(EvidenceKeeper(5.0, None, STREAMS))[1].evidence
    assert (evidence.spectrogram, evidence.channels) == ("", "")
    assert evidence.recording == "e1/event.mcap"


def test_what_does_not_fit_is_counted_live_and_written_down(tmp_path):
    files = EvidenceFiles(tmp_path, limit_mb=0.2)
    lived(EvidenceKeeper(5.0, files, STREAMS))
    files.close()
    assert files.left_out["cam"] > 0
    listed = msgspec.json.decode((tmp_path / "e1" / MANIFEST).read_bytes(), type=Manifest)
    assert listed.left_out["cam"] == {"evidence_mb is reached": files.left_out["cam"]}
