"""Evidence of a stream that is sent small, with what is fetched back of its full pictures."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from pipeline.core.arrival import SampleArrived
from pipeline.core.event import Event, Phase
from pipeline.core.jpeg import jpeg_size
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import VideoSlice, Window
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.evidence_files import EvidenceFiles
from pipeline.detection.full_evidence import EVERY_NS, FullEvidence, WantedSpan
from pipeline.detection.full_frames import PicturesNote, fuller, read_note
from tests.unit.test_detection_evidence import event, explained

SECOND = 1_000_000_000
SMALL, FULL = (48, 64), (96, 128)
CAMERA = StreamInfo("cam", Modality.VIDEO, 10.0, (*SMALL, 3), "uint8")
WAIT_NS = 3 * SECOND
ALWAYS = {"clip.mp4", "snapshot.jpg", "explained.jpg", "event.mcap", "manifest.json"}


def picture(i: int, size: tuple[int, int]) -> bytes:
    grey = np.full((*size, 3), 60 + i % 100, np.uint8)
    return bytes(simplejpeg.encode_jpeg(grey, quality=90, colorspace="BGR"))


def small(i: int) -> Sample:
    return Sample("cam", i, i * SECOND // 10, picture(i, SMALL), Encoding.JPEG)


def full(i: int) -> Sample:
    return Sample("cam", i, i * SECOND // 10, picture(i, FULL), Encoding.JPEG)


def arrived(sample: Sample) -> SampleArrived:
    return SampleArrived(sample.timestamp_ns, "pi", sample)


def window(start_s: int, end_s: int) -> Window:
    frames = tuple(small(i) for i in range(start_s * 10, end_s * 10))
    grid = np.array([f.timestamp_ns for f in frames])
    part = VideoSlice(CAMERA, grid, frames, np.ones(len(frames), bool), 1.0)
    return Window("room", 0, start_s * SECOND, end_s * SECOND, {"cam": part})


class Site:
    """Files, what wants full pictures for them, and the keeper that names them."""

    def __init__(self, folder: Path, before_s: float = 2.0) -> None:
        self.folder = folder
        self.files = EvidenceFiles(folder, fuller=partial(fuller, ["cam"]))
        self.full = FullEvidence(self.files, folder, ["cam"], WAIT_NS)
        self.keeper = EvidenceKeeper(before_s, self.full)

    def play(self, from_s: int, to_s: int) -> None:
        for i in range(from_s * 10, to_s * 10):
            self.keeper.keep(arrived(small(i)))

    def raised(self) -> Event:
        self.play(0, 12)
        return self.keeper.attach(event(Phase.RAISED, 0, 10, explained()), window(10, 12))

    def cleared(self) -> Event:
        self.play(12, 14)
        return self.keeper.attach(event(Phase.CLEARED, 1), window(12, 14))

    def answer(self, wanted: list[WantedSpan], without: range = range(0), why: str = "") -> None:
        """A capture node gives all it is asked for but some."""
        for one in wanted:
            for i in range(-(-one.from_ns * 10 // SECOND), -(-one.to_ns * 10 // SECOND)):
                if i not in without:
                    self.full.take(one.event, full(i))
            self.full.over(one.event, why)

    def close(self) -> None:
        self.full.close()
        self.files.close()
        assert self.files.failed == 0

    def shown(self, name: str) -> tuple[int, int] | None:
        return jpeg_size((self.folder / name).read_bytes())

    def clip(self) -> list[tuple[int, int]]:
        """Height and width of each picture of the clip."""
        with av.open(str(self.folder / "e1/clip.mp4")) as clip:
            return [(f.height, f.width) for f in clip.decode(video=0)]

    def left(self) -> set[str]:
        return {path.name for path in (self.folder / "e1").iterdir()}


def test_full_pictures_take_the_place_of_small_ones_in_every_file(tmp_path: Path) -> None:
    site = Site(tmp_path)
    raised = site.raised()
    site.answer(site.full.wanted(0))
    site.cleared()
    site.answer(site.full.wanted(SECOND))
    site.full.look(SECOND)
    site.close()
    assert site.shown(raised.evidence.snapshot) == FULL
    assert site.shown(raised.evidence.explained) == FULL
    assert site.clip() == [FULL] * 60, "two seconds before the start up to the clear"
    assert read_note(tmp_path / "e1") == PicturesNote(60, 0, "")
    assert site.left() == {*ALWAYS, "pictures.json"}


def test_what_is_not_there_in_time_stays_small_and_the_event_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path)
    raised = site.raised()
    site.full.wanted(0)
    site.cleared()
    site.full.look(SECOND)
    site.full.look(SECOND + WAIT_NS - 1)
    site.files.quick("e1", lambda: None).result()
    assert not (tmp_path / "e1/clip.mp4").exists(), "it waits"
    site.full.look(SECOND + WAIT_NS)
    site.full.take("e1", full(100))
    site.close()
    assert site.shown(raised.evidence.snapshot) == SMALL
    assert site.clip() == [SMALL] * 60
    assert read_note(tmp_path / "e1") == PicturesNote(
        0, 60, "60 of 60 pictures are small ones: they did not come in time"
    )
    assert site.full.counters == {"too_late": 1, "small": 1}


def test_a_clip_of_which_some_came_is_whole_and_of_one_size(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.raised()
    site.answer(site.full.wanted(0), without=range(85, 95))
    site.cleared()
    site.answer(site.full.wanted(SECOND), why="capture node pi could not be reached")
    site.full.look(SECOND)
    site.close()
    assert site.clip() == [FULL] * 60
    assert read_note(tmp_path / "e1") == PicturesNote(
        50, 10, "10 of 60 pictures are small ones: capture node pi could not be reached"
    )


def test_a_fusion_node_that_stops_waits_no_longer(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.raised()
    site.cleared()
    site.close()
    assert site.clip() == [SMALL] * 60
    note = read_note(tmp_path / "e1")
    assert note is not None
    assert note.note == "60 of 60 pictures are small ones: the fusion node stopped"


def test_events_are_the_same_whether_full_pictures_come_or_not(tmp_path: Path) -> None:
    told = []
    for name in ("with", "without"):
        site = Site(tmp_path / name)
        raised = site.raised()
        if name == "with":
            site.answer(site.full.wanted(0))
        told.append((raised, site.cleared()))
        site.close()
    assert told[0] == told[1]


@pytest.mark.parametrize("came", [True, False])
def test_killed_while_a_clip_waits_the_next_life_makes_it_of_what_is_there(
    tmp_path: Path, came: bool
) -> None:
    site = Site(tmp_path)
    site.raised()
    if came:
        site.answer(site.full.wanted(0))
    site.cleared()
    site.files.settle()
    site.files.quick("e1", lambda: None).result()  # killed here
    again = Site(tmp_path)
    again.files.work_off()
    again.raised()
    again.cleared()  # the end comes once more, as it was not committed
    again.answer(again.full.wanted(SECOND))
    again.full.look(SECOND)
    again.close()
    assert again.clip() == [FULL if came else SMALL] * 60
    note = read_note(tmp_path / "e1")
    assert note is not None
    assert (note.full, note.small) == ((40, 20) if came else (0, 60))
    assert again.left() == {*ALWAYS, "pictures.json"}


def test_an_event_that_stands_is_asked_for_piece_by_piece_and_nothing_twice(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    site.raised()
    asked = site.full.wanted(0)
    for second in range(12, 40):
        site.play(second, second + 1)
        found = site.full.wanted((second - 11) * SECOND)
        assert not found or (second - 11) * SECOND % EVERY_NS == 0
        asked += found
    site.keeper.attach(event(Phase.CLEARED, 1), window(38, 40))
    asked += site.full.wanted(30 * SECOND)
    site.close()
    spans = [(one.from_ns, one.to_ns) for one in asked]
    assert len(spans) == 7
    assert [to_ns for _, to_ns in spans[:-1]] == [from_ns for from_ns, _ in spans[1:]]
    assert spans[0][0] == 8 * SECOND
    assert spans[-1][1] == 399 * SECOND // 10 + 1


def test_the_box_may_be_in_the_picture_of_a_camera_that_the_clip_does_not_show(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    site.full = FullEvidence(site.files, tmp_path, ["cam", "yard"], WAIT_NS)
    site.keeper = EvidenceKeeper(2.0, site.full)
    site.play(0, 12)
    for i in range(100, 120):
        site.keeper.keep(arrived(replace(small(i), stream="yard")))
    both = window(10, 12)
    yard = replace(both.slices["cam"], info=replace(CAMERA, name="yard"))
    seen = replace(both, slices={**both.slices, "yard": yard})
    raised = site.keeper.attach(event(Phase.RAISED, 0, 10, explained("yard")), seen)
    wanted = site.full.wanted(0)
    assert [(one.stream, one.to_ns - one.from_ns) for one in wanted][1:] == [("yard", 1)]
    site.answer(wanted[:1])
    site.full.take("e1", replace(full(119), stream="yard"))
    site.full.over("e1", "")
    site.cleared()
    site.full.look(0)
    site.close()
    assert site.shown(raised.evidence.explained) == FULL
    assert len(site.clip()) == 60
    note = read_note(tmp_path / "e1")
    assert note is not None
    assert (note.full, note.small) == (40, 20)


def test_a_stream_that_is_sent_as_it_is_waits_for_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.files = EvidenceFiles(tmp_path, fuller=partial(fuller, ["yard"]))
    site.full = FullEvidence(site.files, tmp_path, ["yard"], WAIT_NS)
    site.keeper = EvidenceKeeper(2.0, site.full)
    site.raised()
    site.cleared()
    assert site.full.wanted(0) == []
    site.close()
    assert site.left() == ALWAYS
