"""Fixed cameras on people and traffic: what was put into real footage, picture by picture.

The first part of a clip is learnt; into the rest things are put at exact times, see
`tests.benchmarks.real.video_wrong`. A picture is judged by the last window that ends with it or
before, so that no score knows what comes later, and called wrong while what was put in is to be
seen. Each kind is put into the same footage by itself. Told is the AUROC over pictures: by
kind, their mean, and of all pictures of all places pooled. The scenes of `CHOSEN_ON` were looked
at while options were chosen; for a verdict, take the others, whose things come from other clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import VideoSlice, Window
from pipeline.detection.scorer import Scorer
from pipeline.detection.transition import anomaly_score
from pipeline.models.picture import prepare_picture
from pipeline.models.settings import DetectorSettings
from pipeline.training.commissioning import commission
from pipeline.training.metrics import Floats, auroc
from tests.benchmarks.real.video_files import Clip, Cutout, Pictures, cutouts, read_clip
from tests.benchmarks.real.video_peers import peers
from tests.benchmarks.real.video_wrong import KINDS, PACES, Flags, Place, spoilt

SCENE, CAMERA = "camera", "camera"
WINDOW_S = 1.0
HOP = 2  # pictures
EVERY_KIND = (*KINDS, *PACES)
_FIRST = 1_000_000  # grid index of the first window
_NAME = 24

Judge = Callable[[Pictures], Floats]


def window_pictures(clip: Clip) -> int:
    """Pictures in a window."""
    return round(WINDOW_S * clip.rate_hz / HOP) * HOP


def windows(frames: Pictures, rate_hz: float, length: int, first: int = 0) -> Iterator[Window]:
    """Whole windows of footage whose first picture is number `first`."""
    period_ns = round(1e9 / rate_hz)
    info = StreamInfo(CAMERA, Modality.VIDEO, rate_hz, frames.shape[1:], "uint8")
    cells = DetectorSettings().picture_cells
    samples = [
        prepare_picture(Sample(CAMERA, row, row * period_ns, frame, Encoding.RAW), cells)
        for row, frame in enumerate(frames)
    ]
    hop_ns = HOP * period_ns
    for at in range(0, len(samples) - length + 1, HOP):
        index = _FIRST + (first + at) // HOP
        grid = index * hop_ns + np.arange(length, dtype=np.int64) * period_ns
        part = VideoSlice(
            info, grid, tuple(samples[at : at + length]), np.ones(length, np.bool_), 1.0
        )
        yield Window(
            SCENE, index, index * hop_ns, index * hop_ns + length * period_ns, {CAMERA: part}
        )


def learn(clip: Clip) -> Judge:
    """Commission a scene; the function scores each picture of what follows, as ``-log10 p``."""
    length = window_pictures(clip)
    model, _ = commission(SCENE, windows(clip.frames, clip.rate_hz, length))
    used = len(clip.frames) // HOP * HOP

    def judge(fresh: Pictures) -> Floats:
        scorer = Scorer({SCENE: model}, "cpu")
        both = np.concatenate([clip.frames[used - length : used], fresh])
        found = np.zeros(len(fresh))
        for number, window in enumerate(windows(both, clip.rate_hz, length, used - length)):
            # Number 0 ends before the first fresh picture; each further one HOP later.
            found[max(0, number * HOP - 1) :] = anomaly_score(scorer.score([window])[0].p)
        return found

    return judge


def measure(
    place: Place, kinds: Sequence[str], seed: int
) -> dict[str, dict[str, tuple[Flags, Floats]]]:
    """Truth and score of each picture, by detector and kind."""
    judge, length = learn(place.learn), window_pictures(place.learn)
    found: dict[str, dict[str, tuple[Flags, Floats]]] = {}
    for number, kind in enumerate(kinds):
        fresh, truth = spoilt(place, kind, seed + number)
        scores = {"fusewatch": judge(fresh)}
        scores |= peers(place.learn.frames, fresh, length, seed + number)
        for name, score in scores.items():
            found.setdefault(name, {})[kind] = truth, score
    return found


Measured = Mapping[str, Mapping[str, tuple[Flags, Floats]]]


def by_kind(measured: Measured) -> dict[str, dict[str, float]]:
    """AUROC of each detector by kind."""
    return {
        name: {kind: auroc(truth, score) for kind, (truth, score) in kinds.items()}
        for name, kinds in measured.items()
    }


def pooled(every: Sequence[Measured], name: str) -> float:
    """AUROC of a detector over all pictures of all kinds and places."""
    pairs = [pair for measured in every for pair in measured[name].values()]
    return auroc(np.concatenate([t for t, _ in pairs]), np.concatenate([s for _, s in pairs]))


def chosen_on(data: Path) -> Iterator[tuple[Place, int]]:
    """Scenes that options of the detector were chosen on, with a seed each."""
    yard = _yard(data)
    road = read_clip(data / "video_bgs" / "video02.avi", every=2)
    cars = _cars(read_clip(data / "video_bgs" / "video.avi", every=3))
    yield _place(yard, 400, cars, "yard"), 1
    yield _place(yard.crop(0.0, 0.55, "left"), 400, cars, "yard, left"), 2
    yield _place(road, 220, cutouts(yard, 150, 10), "motorway"), 3


def looked_at_once(data: Path) -> Iterator[tuple[Place, int]]:
    """The other scenes."""
    yard = _yard(data)
    road = read_clip(data / "video_bgs" / "video03.avi", every=5)
    room = read_clip(data / "video_intel" / "one-by-one-person-detection.mp4")
    cars = _cars(road)
    yield _place(yard.mirrored("mirrored"), 400, cars, "yard, mirrored"), 11
    yield _place(yard.crop(0.45, 1.0, "right"), 400, cars, "yard, right"), 12
    yield _place(road, 200, cutouts(room, 150, 6), "road"), 13
    yield _place(room, 420, cars, "room"), 14


def _yard(data: Path) -> Clip:
    """Last picture first: only late people walk on the grass, and what was never shown as normal
    cannot be known as such."""
    return read_clip(data / "video_vtest" / "vtest.avi").backwards("yard")


def _cars(clip: Clip) -> list[Cutout]:
    return cutouts(clip, 300, 4)


def _place(clip: Clip, learnt: int, foreign: Sequence[Cutout], name: str) -> Place:
    normal = clip.part(0, learnt)
    usual = cutouts(normal, 120, 6)
    return Place(name, normal, clip.part(learnt, len(clip.frames)), usual, foreign)


HALVES = {
    "options were chosen on": chosen_on,
    "looked at once": looked_at_once,
}


def run(data: Path, kinds: Sequence[str] = EVERY_KIND) -> None:
    """Print the figures of either half of the scenes."""
    cv2.setNumThreads(1)
    for what, scenes in HALVES.items():
        every: list[Measured] = []
        print(f"surveillance, {what}: AUROC over pictures (target .800)")
        for place, seed in scenes(data):
            every.append(measure(place, kinds, seed))
            _table(place.name, [every[-1]], kinds)
        _table("all", every, kinds)
        print()


def _table(title: str, every: Sequence[Measured], kinds: Sequence[str]) -> None:
    print(f"{title:{_NAME}}" + "".join(f"{k:>10}" for k in (*kinds, "mean", "pooled")))
    tables = [by_kind(measured) for measured in every]
    for name in tables[0]:
        means = [float(np.nanmean([t[name][kind] for t in tables])) for kind in kinds]
        cells = [*means, float(np.nanmean(means)), pooled(every, name)]
        told = "".join(f"{f'{cell:.3f}'.removeprefix('0'):>10}" for cell in cells)
        print(f"{name:{_NAME}}{told}", flush=True)
