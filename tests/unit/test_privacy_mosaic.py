"""Mosaics: what they cover, that nothing finer than a cell is left, and whom they miss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import check_file
from pipeline.core.errors import DependencyMissing
from pipeline.core.ledger import DropReason
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.sources.mosaic import LEARNING, Mosaic
from pipeline.sources.privacy import PrivateOutlet
from pipeline.sources.privacy_settings import BlurSettings, Privacy
from tests.outlets import KeptOutlet
from tests.tiny_faces import face_detector

S = 10**9
HEIGHT, WIDTH = 180, 320
TENTH = S // 10
CHANCE = 0.05  # pixels that have the mean colour of their cell anyway


def room(rng: np.random.Generator, light: float = 1.0) -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    grey = 110 + 40 * np.sin(columns / 3.0) + 30 * np.cos(rows / 2.5)
    noisy = (grey * light)[:, :, None] + rng.normal(0, 2, (HEIGHT, WIDTH, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def person(picture: np.ndarray, left: int, top: int = 60) -> tuple[slice, slice]:
    """Somebody in a striped shirt; where they are."""
    where = slice(top, top + 80), slice(left, left + 26)
    stripes = np.where(np.arange(80) // 2 % 2, 220, 20).astype(np.uint8)
    picture[where] = stripes[:, None, None]
    return where


def covered(made: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Pixels that are those of the mosaic and not the picture's own."""
    coarse = Mosaic(BlurSettings(what="all")).apply(picture, 0)
    assert ((made == coarse) | (made == picture)).all(axis=2).all()
    return (made == coarse).all(axis=2)


def moving(**options: object) -> Mosaic:
    return Mosaic(BlurSettings(what="moving", **options))


def learnt(rng: np.random.Generator, **options: object) -> tuple[Mosaic, int]:
    """A mosaic that knows the empty room, and the time by then."""
    mosaic = moving(**options)
    for number in range(LEARNING + 20):
        mosaic.apply(room(rng), number * TENTH)
    return mosaic, (LEARNING + 200) * TENTH


def test_all_of_a_picture_becomes_cells_of_their_mean_colour():
    picture = room(np.random.default_rng(1))
    made = Mosaic(BlurSettings(what="all", cells=18)).apply(picture, 0)
    cells = made.reshape(18, 10, 32, 10, 3)
    assert (cells == cells[:, :1, :, :1]).all()
    means = picture.reshape(18, 10, 32, 10, 3).mean(axis=(1, 3))
    assert np.abs(cells[:, 0, :, 0] - means).max() <= 1


def test_pictures_that_differ_only_within_cells_give_the_same_mosaic():
    picture = room(np.random.default_rng(1))
    turned = picture.reshape(18, 10, 32, 10, 3)[:, ::-1, :, ::-1].reshape(picture.shape)
    mosaic = Mosaic(BlurSettings(what="all", cells=18))
    assert not np.array_equal(picture, turned)
    assert np.array_equal(mosaic.apply(picture, 0), mosaic.apply(turned, 0))


def test_whoever_walks_through_a_learnt_room_is_covered_and_the_room_is_not():
    rng = np.random.default_rng(2)
    mosaic, now_ns = learnt(rng, hold_s=0.5)
    for step in range(40):
        picture = room(rng, 1.0 + 0.0005 * step)
        where = person(picture, 20 + 6 * step)
        made = mosaic.apply(picture, now_ns + step * TENTH)
        assert covered(made, picture)[where].all()
        assert np.array_equal(made[:40], picture[:40]), "far above them nothing is covered"


def test_everything_is_covered_until_the_background_is_learnt_and_when_the_size_changes():
    rng = np.random.default_rng(3)
    mosaic = moving()
    for number in range(LEARNING):
        picture = room(rng)
        assert covered(mosaic.apply(picture, number * TENTH), picture).all()
    picture = room(rng)
    assert covered(mosaic.apply(picture, 3600 * S), picture).mean() < 0.05
    larger = np.repeat(np.repeat(room(rng), 2, 0), 3, 1)
    assert covered(mosaic.apply(larger, 3601 * S), larger).all()


def test_a_place_stays_covered_for_as_long_as_was_asked_and_then_no_longer():
    rng = np.random.default_rng(4)
    mosaic, now_ns = learnt(rng, hold_s=3.0)
    picture = room(rng)
    where = person(picture, 100)
    mosaic.apply(picture, now_ns)
    for after_ns, share in ((2 * S, 1.0), (4 * S, 0.0)):
        empty = room(rng)
        seen = covered(mosaic.apply(empty, now_ns + after_ns), empty)[where]
        assert abs(seen.mean() - share) < 0.05


def test_somebody_who_stands_still_is_covered_for_minutes_and_seen_in_the_end():
    rng = np.random.default_rng(5)
    mosaic, now_ns = learnt(rng, hold_s=1.0)
    pictures = [room(rng) for _ in range(20)]
    for picture in pictures:
        where = person(picture, 100)
    shares = []
    for second in range(400):
        picture = pictures[second % 20]
        made = mosaic.apply(picture, now_ns + second * S)
        if second % 10 == 0:
            shares.append(covered(made, picture)[where].mean())
    assert min(shares[:24]) == 1.0
    assert max(shares[36:]) < 0.2


def test_the_pictures_that_go_in_are_not_written_to():
    rng = np.random.default_rng(6)
    for what in ("all", "moving"):
        picture = room(rng)
        before = picture.copy()
        Mosaic(BlurSettings(what=what)).apply(picture, 0)
        assert np.array_equal(picture, before)


@pytest.mark.parametrize("scale", [1, 3])
def test_what_a_face_detector_finds_is_covered_with_a_margin_and_the_rest_is_not(tmp_path, scale):
    model = tmp_path / "tiny.onnx"
    model.write_bytes(face_detector())
    mosaic = Mosaic(BlurSettings(what="faces", model=model, hold_s=1.0))
    small = room(np.random.default_rng(7)) // 3
    small[64:96, 128:160] = 255 - small[64:96, 128:160] // 20
    picture = np.repeat(np.repeat(small, scale, 0), scale, 1)
    made = covered(mosaic.apply(picture, 0), picture)
    assert made[56 * scale : 104 * scale, 120 * scale : 168 * scale].all()
    far = made[:, : 80 * scale], made[140 * scale :]
    assert max(part.mean() for part in far) < CHANCE
    empty = np.repeat(np.repeat(room(np.random.default_rng(7)) // 3, scale, 0), scale, 1)
    held, free = (covered(mosaic.apply(empty, at_ns), empty) for at_ns in (S, 3 * S))
    assert held[64 * scale : 96 * scale, 128 * scale : 160 * scale].all()
    assert free.mean() < CHANCE


def test_a_face_detector_that_cannot_be_used_lets_no_picture_through(tmp_path: Path):
    broken = tmp_path / "yunet.onnx"
    broken.write_bytes(b"not a network")
    blur = BlurSettings(what="faces", model=broken)
    with pytest.raises(DependencyMissing, match="face detector cannot be used"):
        Mosaic(blur)
    outlet = KeptOutlet()
    private = PrivateOutlet(outlet, lambda name: Privacy(blur=blur))
    private.opened((StreamInfo("cam", Modality.VIDEO, 10.0, (HEIGHT, WIDTH, 3), "uint8"),))
    private.samples([Sample("cam", 0, 1, room(np.random.default_rng(1)), Encoding.RAW)])
    assert outlet.kept == []
    assert outlet.refusals == {("cam", DropReason.NOT_PRIVATE): 1}


@pytest.mark.parametrize(
    ("blur", "told"),
    [
        ("{what: faces}", "home.yaml:7: streams.cam.blur: 'what: faces' needs 'model: FILE.onnx'"),
        ("{what: faces, model: gone.onnx}", "home.yaml:7: streams.cam.blur.model: there is no"),
        ("{what: people}", "home.yaml:7: streams.cam.blur.what: 'people' is not allowed"),
        ("{what: all, cells: 1}", "home.yaml:7: streams.cam.blur.cells"),
    ],
)
def test_what_cannot_be_blurred_is_told_with_its_line(tmp_path: Path, blur: str, told: str):
    file = tmp_path / "home.yaml"
    file.write_text(
        f"""\
name: home
nodes:
  n:
    sources: [{{type: camera, stream: cam, device: /dev/video0}}]
scenes: {{hall: {{streams: [cam]}}}}
streams:
  cam: {{blur: {blur}}}
"""
    )
    report = check_file(file)
    (problem,) = map(str, report.problems or report.warnings)
    assert told in problem
