import dataclasses
import wave

import av
import numpy as np
import pytest
import simplejpeg
from msgspec.structs import replace

from pipeline.core.arrival import SampleArrived
from pipeline.core.event import Event, Evidence, Phase, Severity
from pipeline.core.explanation import Basis, Box, Explanation
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, VideoSlice, Window
from pipeline.detection.evidence import EvidenceKeeper
from pipeline.detection.evidence_encoding import write_mp4
from pipeline.detection.evidence_files import MATERIAL, NOTE, EvidenceFiles
from pipeline.detection.evidence_material import as_jpeg
from pipeline.detection.evidence_writer import Wanted

SECOND = 1_000_000_000
RATE = 8_000
CAMERA = StreamInfo("cam", Modality.VIDEO, 10.0, (48, 64, 3), "uint8")
MIC = StreamInfo("mic", Modality.AUDIO, float(RATE), (1,), "int16")


def frame(i):
    picture = np.full((48, 64, 3), i % 256, np.uint8)
    return Sample("cam", i, i * SECOND // 10, picture, Encoding.RAW)


def chunk(i, rate_hz=RATE):
    tone = (8000 * np.sin(np.arange(rate_hz // 10) / 5)).astype(np.int16)[:, None]
    return Sample("mic", i, i * SECOND // 10, tone, Encoding.PCM, position=i * rate_hz // 10)


def damaged(jpeg):
    return dataclasses.replace(jpeg, data=jpeg.data[: len(jpeg.data) // 3])


def window(start_s, end_s):
    frames = tuple(frame(i) for i in range(start_s * 10, end_s * 10))
    grid = np.array([f.timestamp_ns for f in frames])
    shown = np.ones(len(frames), bool)
    sound = np.zeros(((end_s - start_s) * RATE, 1), np.float32)
    slices = {
        "cam": VideoSlice(CAMERA, grid, frames, shown, 1.0),
        "mic": AudioSlice(MIC, sound, np.ones(len(sound), bool), 1.0),
    }
    return Window("room", 0, start_s * SECOND, end_s * SECOND, slices)


def explained(stream="cam"):
    box = Box(stream, top=0.25, left=0.5, bottom=0.5, right=1.0, level=4.0)
    return Explanation(kind=Basis.SINGLE, contributions={stream: 3.0}, boxes=(box,))


def event(phase, revision, start_s=10, explanation=None):
    return Event(
        id="e1",
        revision=revision,
        scene="room",
        alarm="a",
        phase=phase,
        severity=Severity.LOW,
        start_ns=start_s * SECOND,
        end_ns=(start_s + 2) * SECOND,
        p=0.001,
        score=3.0,
        summary="",
        explanation=explanation,
    )


def play(keeper, until_s, from_s=0):
    for i in range(from_s * 10, until_s * 10):
        for sample in (frame(i), chunk(i)):
            keeper.keep(SampleArrived(sample.timestamp_ns, "pi", sample))


def whole_event(keeper):
    play(keeper, 12)
    raised = keeper.attach(event(Phase.RAISED, 0), window(10, 12))
    play(keeper, 15, from_s=12)
    return raised, keeper.attach(event(Phase.CLEARED, 1), window(13, 15))


def test_an_event_gets_a_snapshot_when_raised_and_clip_and_sound_when_cleared(tmp_path):
    files = EvidenceFiles(tmp_path)
    raised, cleared = whole_event(EvidenceKeeper(5.0, files))
    files.close()
    assert files.failed == 0
    assert (raised.evidence.snapshot, raised.evidence.clip) == ("e1/snapshot.jpg", "")
    assert (tmp_path / cleared.evidence.snapshot).read_bytes()[:2] == b"\xff\xd8"
    with av.open(str(tmp_path / cleared.evidence.clip)) as clip:
        shown = [f.time for f in clip.decode(video=0)]
    assert len(shown) == 100, "five seconds before the start up to the clear"
    assert shown[-1] - shown[0] == pytest.approx(9.9, abs=0.02)
    with av.open(str(tmp_path / cleared.evidence.clip)) as clip:
        heard = sum(f.samples for f in clip.decode(audio=0))
    assert heard == pytest.approx(10 * RATE, rel=0.05)
    with wave.open(str(tmp_path / cleared.evidence.sound)) as sound:
        assert sound.getnframes() == 10 * RATE


def test_names_are_the_same_whether_files_are_written_or_not(tmp_path):
    files = EvidenceFiles(tmp_path)
    written = whole_event(EvidenceKeeper(5.0, files))
    files.close()
    assert whole_event(EvidenceKeeper(5.0)) == written


def test_clips_that_would_keep_a_node_from_ending_are_left_to_its_next_start(tmp_path):
    files = EvidenceFiles(tmp_path, patience_s=0.0)
    for event_id in ("e1", "e2"):
        for i in range(400):
            files.keep(event_id, SampleArrived(i, "pi", frame(i)))
    for event_id in ("e1", "e2"):
        named = Evidence(clip=f"{event_id}/clip.mp4")
        over = replace(event(Phase.CLEARED, 1), id=event_id, evidence=named)
        files.finish(Wanted(over, 0, ("cam",), "cam", "", 0.0))
    files.close()
    assert files.failed == 0
    for event_id in ("e1", "e2"):
        left = {path.name for path in (tmp_path / event_id).iterdir()}
        assert {MATERIAL, NOTE} <= left
        assert "clip.mp4" not in left
    again = EvidenceFiles(tmp_path)
    again.work_off()
    again.close()
    for event_id in ("e1", "e2"):
        made = {path.name for path in (tmp_path / event_id).iterdir()}
        assert made == {"clip.mp4", "manifest.json"}
        with av.open(str(tmp_path / event_id / "clip.mp4")) as clip:
            assert sum(1 for _ in clip.decode(video=0)) == 400


def test_a_second_picture_shows_the_box_and_the_snapshot_does_not(tmp_path):
    files = EvidenceFiles(tmp_path)
    keeper = EvidenceKeeper(5.0, files)
    play(keeper, 12)
    raised = keeper.attach(event(Phase.RAISED, 0, explanation=explained()), window(10, 12))
    cleared = keeper.attach(event(Phase.CLEARED, 1), window(13, 15))
    files.close()
    assert files.failed == 0
    assert raised.evidence.explained == cleared.evidence.explained == "e1/explained.jpg"
    boxed, plain = (
        simplejpeg.decode_jpeg((tmp_path / name).read_bytes(), colorspace="BGR").astype(int)
        for name in (raised.evidence.explained, raised.evidence.snapshot)
    )
    red = np.argwhere(boxed[..., 2] - boxed[..., 0] > 60)
    assert (red.min(axis=0) - (12, 32) <= 2).all() and (red.max(axis=0) - (24, 63) <= 2).all()
    assert (plain[..., 2] - plain[..., 0]).max() < 20


def test_there_is_no_second_picture_without_a_box_of_a_camera_that_is_shown(tmp_path):
    keeper = EvidenceKeeper(5.0)
    play(keeper, 12)
    other = event(Phase.RAISED, 0, explanation=explained("yard"))
    assert keeper.attach(other, window(10, 12)).evidence.explained == ""
    assert keeper.attach(event(Phase.UPDATED, 1), None).evidence.explained == ""


def test_a_clip_of_frames_sent_again_and_set_back_is_written(tmp_path):
    files = EvidenceFiles(tmp_path)
    keeper = EvidenceKeeper(5.0, files)
    play(keeper, 12)
    keeper.attach(event(Phase.RAISED, 0), window(10, 12))
    play(keeper, 15, from_s=11)
    cleared = keeper.attach(event(Phase.CLEARED, 1), window(13, 15))
    files.close()
    assert files.failed == 0
    with av.open(str(tmp_path / cleared.evidence.clip)) as clip:
        shown = [f.time for f in clip.decode(video=0)]
    assert len(shown) == 100
    assert shown == sorted(set(shown))
    with av.open(str(tmp_path / cleared.evidence.clip)) as clip:
        heard = sum(f.samples for f in clip.decode(audio=0))
    assert heard == pytest.approx(10 * RATE, rel=0.05)


@pytest.mark.parametrize("rate_hz", [4_000, 20_000, 192_000])
def test_a_clip_has_sound_of_a_rate_that_its_coding_lacks(tmp_path, rate_hz):
    sound = [chunk(i, rate_hz) for i in range(20) if not 8 <= i < 12]
    sound = [
        dataclasses.replace(s, data=s.data // 100) if 12 <= s.sequence < 16 else s for s in sound
    ]
    write_mp4(tmp_path / "clip.mp4", [frame(i) for i in range(20)], sound, rate_hz)
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        heard = [(f.time, np.abs(f.to_ndarray()).max() > 0.1) for f in clip.decode(audio=0)]
    loud = [at_s for at_s, audible in heard if audible]
    assert not [at_s for at_s in loud if 1.0 < at_s < 1.45], (
        "what comes after a gap is in its place"
    )
    assert min(loud) < 0.1 and 1.45 < min(at_s for at_s in loud if at_s > 1.0) < 1.7
    assert max(loud) == pytest.approx(2.0, abs=0.2)


def test_a_clip_whose_first_frame_is_damaged_shows_the_others(tmp_path):
    frames = [as_jpeg(frame(i)) for i in range(20)]
    frames[0] = damaged(frames[0])
    write_mp4(tmp_path / "clip.mp4", frames, [], 0.0)
    with av.open(str(tmp_path / "clip.mp4")) as clip:
        assert [round(f.time, 3) for f in clip.decode(video=0)] == [i / 10 for i in range(1, 20)]


def test_an_event_whose_clip_cannot_be_made_has_all_else_and_is_sealed(tmp_path):
    files = EvidenceFiles(tmp_path)
    keeper = EvidenceKeeper(5.0, files)
    for i in range(150):
        for sample in (damaged(as_jpeg(frame(i))), chunk(i)):
            keeper.keep(SampleArrived(sample.timestamp_ns, "pi", sample))
        if i == 119:
            keeper.attach(event(Phase.RAISED, 0), window(10, 12))
    cleared = keeper.attach(event(Phase.CLEARED, 1), window(13, 15))
    files.close()
    assert cleared.evidence.clip == "e1/clip.mp4"
    assert files.failed == 1
    made = {path.name for path in (tmp_path / "e1").iterdir()}
    assert made == {"event.mcap", "manifest.json", "snapshot.jpg", "sound.wav"}


def test_what_the_disk_refused_of_an_event_that_is_over_is_made_by_the_next_start(tmp_path):
    in_the_way = tmp_path / "e1" / "event.mcap"
    in_the_way.mkdir(parents=True)
    files = EvidenceFiles(tmp_path)
    whole_event(EvidenceKeeper(5.0, files))
    files.close()
    assert files.failed == 1
    assert {MATERIAL, NOTE} <= {path.name for path in (tmp_path / "e1").iterdir()}
    in_the_way.rmdir()
    again = EvidenceFiles(tmp_path)
    again.work_off()
    again.close()
    assert again.failed == 0
    made = {path.name for path in (tmp_path / "e1").iterdir()}
    assert made == {"clip.mp4", "event.mcap", "manifest.json", "snapshot.jpg", "sound.wav"}


def test_a_frame_stamped_long_before_the_event_is_no_part_of_it(tmp_path):
    files = EvidenceFiles(tmp_path)
    keeper = EvidenceKeeper(5.0, files)
    play(keeper, 12)
    keeper.attach(event(Phase.RAISED, 0), window(10, 12))
    stray = Sample("cam", 10_000, -(10**18), frame(130).data, Encoding.RAW)
    keeper.keep(SampleArrived(12 * SECOND, "pi", stray))
    play(keeper, 15, from_s=12)
    cleared = keeper.attach(event(Phase.CLEARED, 1), window(13, 15))
    files.close()
    assert files.failed == 0
    with av.open(str(tmp_path / cleared.evidence.clip)) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 100


def test_a_disk_that_refuses_is_counted_and_harms_nothing(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    files = EvidenceFiles(blocker)
    whole_event(EvidenceKeeper(5.0, files))
    files.close()
    assert files.failed == 3


def test_an_event_that_outlives_a_crash_has_its_names_and_the_whole_clip(tmp_path):
    files = EvidenceFiles(tmp_path)
    keeper = EvidenceKeeper(5.0, files)
    play(keeper, 12)
    raised = keeper.attach(event(Phase.RAISED, 0, explanation=explained()), window(10, 12))
    files.settle()
    state = keeper.state("room")
    files.close()
    with (tmp_path / "e1" / MATERIAL).open("ab") as torn:
        torn.write(b"\x30\x00\x00\x00half a record")
    files = EvidenceFiles(tmp_path)
    keeper = EvidenceKeeper(5.0, files)
    keeper.restore("room", state)
    play(keeper, 15, from_s=11)  # a second of it is sent again
    cleared = keeper.attach(event(Phase.CLEARED, 1), window(13, 15))
    assert keeper.state("room") == b""
    files.close()
    assert files.failed == 0
    assert (cleared.evidence.snapshot, cleared.evidence.explained) == (
        raised.evidence.snapshot,
        raised.evidence.explained,
    )
    with av.open(str(tmp_path / cleared.evidence.clip)) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 100
    with wave.open(str(tmp_path / cleared.evidence.sound)) as sound:
        assert sound.getnframes() == 10 * RATE
    names = {path.name for path in (tmp_path / "e1").iterdir()}
    shown = {"clip.mp4", "explained.jpg", "snapshot.jpg", "sound.wav"}
    assert names == shown | {"event.mcap", "manifest.json"}


def test_a_clip_that_a_killed_process_owed_is_made_by_the_next(tmp_path):
    files = EvidenceFiles(tmp_path)
    files._slow.shutdown()  # killed before it came to the clip
    cleared = whole_event(EvidenceKeeper(5.0, files))[1]
    files.settle()
    assert not (tmp_path / cleared.evidence.clip).exists()
    files = EvidenceFiles(tmp_path)
    files.work_off()
    whole_event(EvidenceKeeper(0.0, files))  # the same event, sent again in part: it stays whole
    files.close()
    with av.open(str(tmp_path / cleared.evidence.clip)) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 100
