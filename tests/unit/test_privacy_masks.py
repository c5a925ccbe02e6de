"""Masked zones are black in whatever leaves the capture node, at any size, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from pipeline.config import check_file, load_deployment
from pipeline.core.arrival import SampleArrived
from pipeline.core.clock import ManualClock
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.recording import RecordingSet
from pipeline.sources.masks import Masks
from pipeline.sources.privacy import PrivateOutlet
from pipeline.sources.privacy_settings import Privacy
from tests.command_line import fusewatch
from tests.media_files import write_clip
from tests.outlets import KeptOutlet

ZONES = {
    "left": [(0.0, 0.0), (0.31, 0.0), (0.22, 0.77), (0.0, 0.5)],
    "dent": [(0.6, 0.2), (0.9, 0.25), (0.7, 0.5), (0.93, 0.81), (0.55, 0.9)],
}
SIZES = [(180, 320), (33, 57), (48, 64), (1, 1)]
BLOCK = 17  # a JPEG smears colours over 16 pixels, and so into a mask, never out of it
CAM = StreamInfo("cam", Modality.VIDEO, 10.0, (48, 64, 3), "uint8")


def inside(zone: list[tuple[float, float]], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Even-odd rule, by edges that a ray to the right of each point crosses."""
    hit = np.zeros(np.broadcast(x, y).shape, bool)
    for (ax, ay), (bx, by) in zip(zone, [*zone[1:], zone[0]], strict=True):
        if ay != by:
            at = ax + (y - ay) * (bx - ax) / (by - ay)
            hit ^= ((ay > y) != (by > y)) & (x < at)
    return hit


def touched(height: int, width: int) -> np.ndarray:
    """Pixels of which one of 9 x 9 points lies in a zone."""
    fine = (np.arange(9) + 0.5) / 9
    x = (np.arange(width)[:, None] + fine).reshape(-1) / width
    y = (np.arange(height)[:, None] + fine).reshape(-1) / height
    hits = [inside(zone, x[None], y[:, None]) for zone in ZONES.values()]
    return np.any(hits, axis=0).reshape(height, 9, width, 9).any(axis=(1, 3))


def grown(mask: np.ndarray, by: int) -> np.ndarray:
    """A mask and its neighbours up to `by` pixels away."""
    wide = np.pad(mask, by)
    for axis in (0, 1):
        wide = np.any([np.roll(wide, move, axis) for move in range(-by, by + 1)], axis=0)
    return wide[by:-by, by:-by]


def private(outlet: KeptOutlet, privacy: Privacy, info: StreamInfo = CAM) -> PrivateOutlet:
    private = PrivateOutlet(outlet, {info.name: privacy}.__getitem__)
    private.opened((info,))
    return private


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    return np.random.default_rng(4).integers(60, 255, (height, width, 3), np.uint8)


def raw(pixels: np.ndarray) -> Sample:
    return Sample("cam", 0, 7, pixels, Encoding.RAW)


def jpeg(pixels: np.ndarray) -> Sample:
    return Sample("cam", 0, 7, simplejpeg.encode_jpeg(pixels, colorspace="BGR"), Encoding.JPEG)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_pixel_that_a_zone_touches_is_black_and_few_others(height, width):
    shown = picture(height, width)
    masked = Masks(ZONES).apply(shown)
    black = (masked == 0).all(axis=2)
    assert black[touched(height, width)].all()
    far = ~grown(touched(height, width), 2)
    assert np.array_equal(masked[far], shown[far])


def test_zones_lie_where_they_lay_when_the_source_changes_its_size_mid_stream():
    outlet = KeptOutlet()
    stream = private(outlet, Privacy(ZONES))
    for height, width in [*SIZES, *SIZES[::-1], (40, 40), (50, 50), (60, 60), SIZES[0]]:
        stream.samples([raw(picture(height, width))])
        masked = outlet.kept[-1].data
        assert masked.shape == (height, width, 3)
        assert (masked[touched(height, width)] == 0).all()


def test_a_buffer_that_the_source_uses_again_is_neither_changed_nor_shared():
    outlet = KeptOutlet()
    stream = private(outlet, Privacy(ZONES))
    buffer = picture()
    before = buffer.copy()
    stream.samples([raw(buffer)])
    assert np.array_equal(buffer, before)
    kept = outlet.kept[0].data.copy()
    buffer[:] = 9
    assert np.array_equal(outlet.kept[0].data, kept)
    stream.samples([raw(np.full((48, 64, 3), 200, np.uint8))])
    assert np.array_equal(outlet.kept[0].data, kept)


def test_a_jpeg_is_made_anew_so_that_its_hidden_thumbnail_goes_too():
    outlet = KeptOutlet()
    whole = jpeg(np.full((240, 320, 3), 200, np.uint8))
    secret = b"Exif\0\0the small unmasked picture"
    segment = b"\xff\xe1" + (len(secret) + 2).to_bytes(2, "big") + secret
    whole.data = whole.data[:2] + segment + whole.data[2:]
    assert simplejpeg.decode_jpeg(whole.data).shape == (240, 320, 3)
    private(outlet, Privacy(ZONES)).samples([whole])
    (sample,) = outlet.kept
    assert sample.encoding is Encoding.JPEG
    assert sample.timestamp_ns == 7
    assert secret not in sample.data
    seen = simplejpeg.decode_jpeg(sample.data, colorspace="BGR")
    far_inside = ~grown(~touched(240, 320), 16)
    assert far_inside.sum() > 10_000
    assert seen[far_inside].max() <= 2
    assert seen[~grown(touched(240, 320), 18)].min() >= 196


def test_a_jpeg_that_cannot_be_decoded_is_dropped_and_counted():
    outlet = KeptOutlet()
    broken = jpeg(picture())
    broken.data = broken.data[: len(broken.data) // 2]
    private(outlet, Privacy(ZONES)).samples([broken, jpeg(picture())])
    assert len(outlet.kept) == 1
    assert outlet.refusals == {("cam", DropReason.CORRUPT): 1}


def test_what_a_mask_cannot_be_for_does_not_go_on():
    outlet = KeptOutlet()
    sound = StreamInfo("mic", Modality.AUDIO, 8000.0, (1,), "int16")
    stream = private(outlet, Privacy(ZONES), sound)
    stream.samples([Sample("mic", 0, 1, np.zeros((80, 1), np.int16), Encoding.PCM)])
    grey = private(outlet, Privacy(ZONES))
    grey.samples([raw(np.zeros((48, 64), np.uint8))])
    unannounced = PrivateOutlet(outlet, {"cam": Privacy(ZONES)}.__getitem__)
    unannounced.samples([raw(picture())])
    assert outlet.kept == []
    assert outlet.refusals == {
        ("mic", DropReason.NOT_PRIVATE): 1,
        ("cam", DropReason.NOT_PRIVATE): 2,
    }


def test_streams_of_which_nothing_is_asked_pass_untouched():
    outlet = KeptOutlet()
    sample = raw(picture())
    private(outlet, Privacy()).samples([sample])
    assert outlet.kept[0] is sample


DEPLOYMENT = """\
name: hall
nodes:
  n:
    sources:
      - {type: scene, size: [160, 90], fps: 5, duration_s: 2, speed: max, jpeg_quality: QUALITY}
      - {type: microphone, stream: mic}
streams:
  site-camera:
    mask:
      left: [[0, 0], [0.3, 0], [0.2, 0.8], [0, 0.5]]
scenes:
  hall: {streams: [site-camera, site-microphone, site-sensors, mic]}
"""


@pytest.fixture
def deployment(tmp_path: Path):
    def write(text: str = DEPLOYMENT, quality: str = "85") -> Path:
        file = tmp_path / "hall.yaml"
        file.write_text(text.replace("QUALITY", quality))
        return file

    return write


def problems(file: Path) -> list[str]:
    return [str(problem) for problem in check_file(file).problems if problem.fatal]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("left: [[0, 0], [0.3, 0]]", "hall.yaml:10: streams.site-camera.mask.left"),
        ("left: [[0, 0], [1.3, 0], [1, 1]]", "hall.yaml:10: streams.site-camera.mask.left[1][0]"),
        ("left: [[0, 0], [1, 1], [1, 0], [0, 1]]", "crosses itself"),
        ("left: [[0, 0], [0.5, 0.5], [1, 1]]", "no area"),
    ],
)
def test_a_zone_that_is_none_is_told_with_its_line(deployment, wrong, told):
    good = "left: [[0, 0], [0.3, 0], [0.2, 0.8], [0, 0.5]]"
    (problem,) = problems(deployment(DEPLOYMENT.replace(good, wrong)))
    assert "hall.yaml:10: streams.site-camera.mask.left" in problem
    assert told in problem


def test_a_mask_on_sound_is_told_with_its_line(deployment):
    (problem,) = problems(deployment(DEPLOYMENT.replace("  site-camera:\n", "  mic:\n")))
    assert "hall.yaml:9: streams.mic.mask: 'mic' is not a picture" in problem


GIVES = {
    "a scene, raw": "{type: scene, size: [160, 90], fps: 5, duration_s: 2, speed: max, "
    "audio: null, sensor: null, jpeg_quality: null, video: cam}",
    "a scene, JPEG": "{type: scene, size: [160, 90], fps: 5, duration_s: 2, speed: max, "
    "audio: null, sensor: null, video: cam}",
    "a file's video": "{type: media, file: clip.mp4, video: cam, pace: max, "
    "start: 2026-01-01T10:00:00Z}",
    "a file's Motion JPEG": "{type: media, file: clip.mkv, video: cam, pace: max, "
    "start: 2026-01-01T10:00:00Z}",
    "an older recording": "{type: recording, paths: [old.mcap], streams: [cam], speed: max}",
}
WITHOUT = """\
name: hall
nodes:
  n:
    sources:
      - SOURCE
scenes:
  hall: {streams: [cam]}
"""
WITH = WITHOUT + "streams:\n  cam: {mask: {left: [[0, 0], [0.4, 0], [0.3, 0.9], [0, 0.8]]}}\n"


def recorded(folder: Path, text: str, name: str) -> list[np.ndarray]:
    """Pictures that a direct recording of a deployment holds."""
    config = folder / f"{name}.yaml"
    config.write_text(text)
    assert fusewatch("record", config, "--direct", "-o", folder / f"{name}.mcap") == 0
    with RecordingSet([folder / f"{name}.mcap"]) as recording:
        frames = [a.sample for a in recording.arrivals() if isinstance(a, SampleArrived)]
    return [
        simplejpeg.decode_jpeg(f.data, colorspace="BGR") if f.encoding is Encoding.JPEG else f.data
        for f in frames
    ]


@pytest.mark.parametrize("kind", GIVES)
def test_nothing_under_a_mask_is_ever_recorded(tmp_path, kind):
    write_clip(tmp_path / "clip.mp4", audio=None)
    write_clip(tmp_path / "clip.mkv", video="mjpeg", audio=None)
    if kind == "an older recording":
        old = recorded(tmp_path, WITHOUT.replace("SOURCE", GIVES["a scene, JPEG"]), "old")
        assert min(picture[:30, :30].mean() for picture in old) > 20
    seen = recorded(tmp_path, WITH.replace("SOURCE", GIVES[kind]), "new")
    assert len(seen) >= 8
    height, width = seen[0].shape[:2]
    zones = load_deployment(tmp_path / "new.yaml").stream("cam").mask
    black = Masks(zones).covered(height, width) > 0
    for picture in seen:
        assert picture[~grown(~black, BLOCK)].max() <= 4
        assert picture[~grown(black, BLOCK)].mean() > 20


def test_an_operator_sees_where_the_zones_lie(deployment, tmp_path, capsys):
    import cv2

    file = deployment()
    plain = np.full((90, 160, 3), 120, np.uint8)
    cv2.imwrite(str(tmp_path / "plain.png"), plain)
    for more, out in (((), "drawn.png"), (("--burnt",), "burnt.png")):
        arguments = ("--picture", tmp_path / "plain.png", "-o", tmp_path / out, *more)
        assert fusewatch("mask", file, "site-camera", *arguments) == 0
    assert "160 x 90, 19% masked" in capsys.readouterr().out
    drawn, burnt = (cv2.imread(str(tmp_path / name)) for name in ("drawn.png", "burnt.png"))
    assert drawn[30, 20, 2] > 90 > drawn[30, 20, 0] > 30
    assert burnt[30, 20].max() == 0
    assert burnt[30, 100].min() == 120
    assert (tmp_path / "drawn.png").stat().st_mode & 0o077 == 0
    assert fusewatch("mask", file, "site-camera", *arguments[:3], tmp_path / "no/out.png") == 69
    assert fusewatch("mask", file, "site-microphone", "-o", tmp_path / "out.png") == 69
    assert "stream site-microphone: it gives no pictures but pcm" in capsys.readouterr().err


def test_the_picture_to_place_zones_in_comes_from_the_source_itself(deployment, tmp_path):
    from nodes.mask_picture import picture_of

    shown = picture_of(load_deployment(deployment()), "site-camera", ManualClock(10**18), 30.0)
    assert shown.shape == (90, 160, 3)
    assert shown[:40, :40].mean() > 20
