"""How often the watch over streams is certain, of what, and what it costs.

Run by hand: ``python -m tests.benchmarks.sync_watch``. Three kinds of scenes:

* *ordinary life* of synthetic sites, whose streams agree: whatever is told is a false alarm;
* *strangers*: real footage beside real office sounds, with nothing in common: likewise;
* *claps*: a flash and a click at once every few seconds, the picture later by 0 and by 250 ms:
  the first must be left alone, the second be told.

Printed: looks, how many of them were sure (the measure of ``sync test``) and certain (that of
the watch), events, and CPU time as a share of the time watched.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import platformdirs

from pipeline.alignment.sync_watch_settings import SyncWatchSettings
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.accounts import Accounts
from pipeline.detection.sync_health import SyncHealth
from tests.benchmarks.synthetic_sites import Part, Site, recorded
from tests.requirements import shared_data

SITES = ((3, 11), (5, 21), (8, 31))
FPS, RATE = 10, 16_000
PERIOD_NS, START_NS = 10**9 // FPS, 1_700_000_000 * 10**9
CAM = StreamInfo("cam", Modality.VIDEO, float(FPS), (90, 160, 3), "uint8")
MIC = StreamInfo("mic", Modality.AUDIO, float(RATE), (1,), "int16")
FOOTAGE = (
    "video_vtest/vtest.avi",
    "video_intel/one-by-one-person-detection.mp4",
    "video_bgs/video02.avi",
    "video_bgs/video03.avi",
)
Moment = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16]]


def watch(name: str, moments: Iterator[Moment]) -> None:
    """Watch pictures with the sound of their time, and print what came of it."""
    health = SyncHealth({"s": SyncWatchSettings(enabled=True)}, {"s": ["cam", "mic"]})
    health.open(CAM)
    health.open(MIC)
    scene = health.watches["s"]
    looks = sure = certain = number = 0
    events: list[str] = []
    spent_s = 0.0
    for number, (picture, sound) in enumerate(moments):
        now_ns, before = START_NS + number * PERIOD_NS, scene.last
        began_s = time.process_time()
        health.take(Sample("cam", number, now_ns, picture, Encoding.RAW))
        health.take(Sample("mic", number, now_ns, sound[:, None], Encoding.PCM))
        told = list(health.look(now_ns, Accounts()))
        spent_s += time.process_time() - began_s
        events += [f"{event.phase}: {event.summary}" for event in told]
        if scene.last is not None and scene.last is not before:
            looks += 1
            sure += sum(one.sure for one in scene.last.offsets)
            certain += sum(one.certain for one in scene.last.offsets)
    watched_s = (number + 1) / FPS
    print(
        f"{name:32s} {watched_s / 60:5.0f} min {looks:5d} looks {sure:4d} sure "
        f"{certain:4d} certain {len(events):3d} events {spent_s / watched_s:7.3%} of a core"
    )
    for event in events:
        print(f"    {event}")


def ordinary(site: Site, part: Part, cache: Path) -> Iterator[Moment]:
    """Life of a site on which nothing is wrong."""
    made = recorded(site, part, cache, print)
    for picture, sound in zip(made.pictures, made.sound, strict=True):
        yield np.asarray(picture), np.asarray(sound)


def strangers(minutes: int, seed: int = 1) -> Iterator[Moment]:
    """Real footage over and over, beside real sounds in an order of their own."""
    chance = np.random.default_rng(seed)
    sounds = [_sound(path) for path in sorted(shared_data("dcase2016_office").rglob("*.wav"))]
    pictures = cycle([picture for name in FOOTAGE for picture in _pictures(shared_data(name))])
    rest = np.zeros(0, np.int16)
    for _ in range(minutes * 60 * FPS):
        while len(rest) < RATE // FPS:
            quiet = chance.normal(0, 30, int(chance.exponential(4) * RATE)).astype(np.int16)
            rest = np.concatenate([rest, sounds[chance.integers(len(sounds))], quiet])
        sound, rest = rest[: RATE // FPS], rest[RATE // FPS :]
        yield next(pictures), sound


def claps(minutes: int, late_s: float, seed: int = 2) -> Iterator[Moment]:
    """A flash and a click at once, 3 to 12 s apart, the flash seen later."""
    chance = np.random.default_rng(seed)
    happened = np.cumsum(chance.uniform(3, 12, minutes * 60 // 3))
    lit = set(np.ceil((happened + late_s) * FPS).astype(int).tolist())
    for number in range(minutes * 60 * FPS):
        grey = chance.normal(200 if number in lit else 80, 3, CAM.shape)
        sound = chance.normal(0, 30, RATE // FPS)
        begin_s = number / FPS
        for moment in happened[(happened >= begin_s) & (happened < begin_s + 1 / FPS)]:
            first = round((moment - begin_s) * RATE)
            sound[first:] += chance.normal(0, 6000, len(sound) - first)
        yield grey.clip(0, 255).astype(np.uint8), sound.clip(-32768, 32767).astype(np.int16)


def _sound(path: Path) -> npt.NDArray[np.int16]:
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(path)) as medium:
        frames = [out for f in medium.decode(audio=0) for out in resampler.resample(f)]
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def _pictures(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Pictures as small as a detector sees them, ten a second."""
    due_s = 0.0
    with av.open(str(path)) as medium:
        for frame in medium.decode(video=0):
            if frame.time is not None and frame.time >= due_s:
                due_s += 1 / FPS
                picture = frame.to_ndarray(format="bgr24")
                small = cv2.resize(picture, (160, 90), interpolation=cv2.INTER_AREA)
                yield np.asarray(small, np.uint8)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Watch scenes for streams that drift apart.")
    cache = Path(platformdirs.user_cache_dir("fusewatch")) / "sites"
    parser.add_argument("--cache", type=Path, default=cache, help="folder of rendered sites")
    parser.add_argument("--minutes", type=int, default=60, help="of strangers and claps")
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    for late_s in (0.0, 0.25):
        watch(f"claps, {late_s * 1000:.0f} ms late", claps(given.minutes // 4, late_s))
    watch("real strangers", strangers(given.minutes))
    for place, seed in SITES:
        for part in (Part.TRAIN, Part.NORMAL):
            site = Site(place, seed)
            watch(f"site {site.name}, {part}", ordinary(site, part, given.cache))


if __name__ == "__main__":
    main()
