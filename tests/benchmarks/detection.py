"""Commissioning and scoring on one core, beside the targets of GOALS.

Run as ``python -m tests.benchmarks.detection``. Windows are of real size (20 pictures of
160x90 of a camera of 640x360, two seconds of 16 kHz sound, 20 channels at 10 Hz) and follow
one another every half second, as live ones do, so that they share their pictures. They show a
synthetic site, rendered first, and its anomalies; all evidence is on. CPU time, one thread.

Beside it, from the same run: the least that any detector must do with a window, which is to
look at its five new pictures once and to take one FFT of its sound; and what comes before a
window is there, to decode its five new JPEG frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import platformdirs
import simplejpeg
import torch

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import AudioSlice, SensorSlice, Slice, VideoSlice, Window
from pipeline.detection.scorer import Scorer
from pipeline.models.odd_settings import OddSettings
from pipeline.models.scene_model import SceneModel
from pipeline.models.settings import DetectorSettings
from pipeline.sources.synthetic.reel import Reel
from pipeline.training.commissioning import commission
from tests.benchmarks.synthetic_sites import A_HOP, SCENE, Part, Recorded, Site, recorded

SITE = Site(place=3, seed=11, part_s=150)
SCORED, HALF_HOUR, CHANNELS = 60, 3600, 20
STEPS = 40  # of the networks' training; more would change nothing about what they cost later
SENSORS = StreamInfo(
    "site-sensors", Modality.SENSOR, 10.0, (CHANNELS,), "float64", "",
    tuple(f"channel-{i}" for i in range(CHANNELS)),
)  # fmt: skip
SETTINGS = DetectorSettings(odd=OddSettings(least_s=60.0, steps=STEPS))


def windows(part: Recorded, count: int) -> Iterator[Window]:
    """The first windows of a part, with as many channels as GOALS asks for."""
    for _, window in zip(range(count), part.windows(), strict=False):
        slices = {name: _widened(one, window.index) for name, one in window.slices.items()}
        yield replace(window, slices=slices)


def _widened(part: Slice, index: int) -> Slice:
    """Readings with channels that follow the site's own, with noise of their own."""
    if not isinstance(part, SensorSlice):
        return part
    noise = np.random.default_rng(index).normal(0.0, 0.1, (len(part.values), CHANNELS))
    own = part.values.shape[1]
    noise[:, :own] = 0.0
    values = np.tile(part.values, (1, -(-CHANNELS // own)))[:, :CHANNELS] + noise
    return replace(part, info=SENSORS, values=values, present=np.isfinite(values))


def cpu_ms(work: Callable[[], object], rounds: int = 5) -> float:
    """Best of several rounds: neighbours on a shared machine only ever make it slower."""
    times = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) * 1e3


def least(scored: list[Window]) -> None:
    """One look at the new pictures and one FFT of the sound."""
    for window in scored:
        video, audio = window.slices["site-camera"], window.slices["site-microphone"]
        if isinstance(video, VideoSlice) and isinstance(audio, AudioSlice):
            total = np.zeros((90, 160, 3), np.float32)
            for frame in video.frames[-A_HOP:]:
                if frame is not None:
                    cv2.accumulate(np.asarray(frame.data), total)
            np.fft.rfft(audio.samples[:, 0])


@dataclass(slots=True)
class Learnt:
    """A model and what it took, CPU milliseconds.

    Attributes:
        model: The model.
        features_ms: Of the features of all windows.
        fits_ms: Of what grows with the number of windows.
        networks_ms: Of the networks, whose training takes as long for any.
    """

    model: SceneModel
    features_ms: float
    fits_ms: float
    networks_ms: float


def learn(normal: list[Window]) -> Learnt:
    """Commission, and see what each stage takes."""
    marks: dict[str, float] = {}

    def told(stage: str, _done: int, total: int | None) -> None:
        if stage != "features" or total is not None:  # features tell their total at their end
            marks.setdefault(stage.partition(",")[0], time.process_time())

    began = time.process_time()
    model, _ = commission(SCENE, normal, SETTINGS, progress=told)
    ended, features = time.process_time(), marks["features"]
    networks = marks.get("fusion", ended)
    parts = (features - began, networks - features, ended - networks)
    return Learnt(model, *(part * 1e3 for part in parts))


def jpeg_ms(scorer: Scorer) -> float:
    """What decoding the new frames of a window takes, to the size they are looked at."""
    reel = Reel(SITE.settings(Part.TRAIN))
    packed = [simplejpeg.encode_jpeg(reel.frame(n), 85, "BGR") for n in range(A_HOP)]
    frames = [Sample("site-camera", n, n, data, Encoding.JPEG) for n, data in enumerate(packed)]
    return cpu_ms(lambda: [scorer.prepare(frame) for frame in frames])


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    cache = platformdirs.user_cache_path("fusewatch") / "sites"
    parser = argparse.ArgumentParser(description="What commissioning and scoring cost.")
    parser.add_argument("--cache", type=Path, default=cache, help="folder of rendered sites")
    asked = parser.parse_args()
    normal = list(windows(recorded(SITE, Part.TRAIN, asked.cache, print), 2 * SITE.part_s))
    scored = list(windows(recorded(SITE, Part.WRONG, asked.cache, print), SCORED))
    learnt = learn(normal)
    scorer = Scorer({SCENE: learnt.model}, "cpu")
    scorer.score(scored[:4])
    single = cpu_ms(lambda: [scorer.score([w]) for w in scored]) / SCORED
    batched = cpu_ms(lambda: scorer.score(scored)) / SCORED
    apart = cpu_ms(lambda: [scorer.score([w]) for w in scored[::4]]) / len(scored[::4])
    peer = cpu_ms(lambda: least(scored)) / SCORED
    scale = HALF_HOUR / len(normal) / 1e3
    half_hour = (learnt.features_ms + learnt.fits_ms) * scale
    networks = learnt.networks_ms / 1e3 * OddSettings().steps / STEPS
    print(f"{'':46}{'measured':>10}{'target':>8}{'x least':>9}")
    for name, value, target in (
        ("score one window, all modalities, ms", single, "20"),
        ("score 60 in a call, ms each", batched, "8"),
        ("score one that shares nothing, ms", apart, ""),
    ):
        print(f"{name:46}{value:10.1f}{target:>8}{value / peer:9.1f}")
    print(f"{'least work on a window, ms':46}{peer:10.2f}")
    print(f"{'decode the five new frames of a window, ms':46}{jpeg_ms(scorer):10.1f}")
    print(f"{'commission half an hour, CPU s (scaled up)':46}{half_hour + networks:10.0f}{300:8}")
    each = [ms / len(normal) for ms in (learnt.features_ms, learnt.fits_ms)]
    print(
        f"  of which features {each[0]:.1f} ms and fits {each[1]:.1f} ms a window, "
        f"networks {networks:.0f} s at most"
    )


if __name__ == "__main__":
    main()
