"""How exactly flashes and beeps tell the offset of a camera, and whether the bound told holds.

Run by hand: ``python -m tests.benchmarks.sync_exact``. A lamp goes on for 0.15 s at uneven moments,
a beep begins at each, and the camera is ahead or behind by up to a tenth of a second. Its stamps
end its exposures, which take a share of the period: a flash within one lights that picture in part.

Printed per camera: the 95 % quantile of the error over the runs, beside the bound told (median) and
in how many runs it held; and as a ratio to the error of who reads each moment off to the middle of
its period and takes the mean: 1.96 periods over the root of 12 moments.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.alignment.activity import Activity, ActivityMeter, Floats
from pipeline.alignment.sync_offset import SyncOffset, find_offset
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo

RATE_HZ, CHUNK = 16_000, 640
FLASH_S, MOST_AHEAD_S, CALM_S = 0.15, 0.1, 4.0
BETWEEN_S = (0.8, 1.7)
PICTURE = (24, 32, 3)


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera that watches a lamp.

    Attributes:
        rate_hz: Pictures a second.
        exposed: Share of each period that a picture is exposed.
        brighter: By how many grey levels the lamp lights a picture that it lit all the time.
        jitter_s: Stamps are off by up to this, either way.
    """

    rate_hz: float
    exposed: float
    brighter: float = 120.0
    jitter_s: float = 0.0

    def watch(self, lit_s: Floats, seconds: float, random: np.random.Generator) -> Activity:
        """Its activity while the lamp goes on at these moments."""
        info = StreamInfo("cam", Modality.VIDEO, self.rate_hz, PICTURE, "uint8")
        meter = ActivityMeter(info)
        end = (random.uniform() + np.arange(round(seconds * self.rate_hz))) / self.rate_hz
        begin = end - self.exposed / self.rate_hz
        on, off = lit_s[:, None], lit_s[:, None] + FLASH_S
        shares = np.clip(np.minimum(end, off) - np.maximum(begin, on), 0, None).sum(0)
        stamps = end + random.uniform(-self.jitter_s, self.jitter_s, len(end))
        for number, (stamp_s, share) in enumerate(zip(stamps, shares / (end - begin), strict=True)):
            picture = np.rint(random.normal(60 + self.brighter * share, 2, PICTURE))
            stamp_ns, data = round(stamp_s * 1e9), picture.astype(np.uint8)
            meter.take(Sample("cam", number, stamp_ns, data, Encoding.RAW))
        return meter.activity()


def listen(moments_s: Floats, seconds: float, random: np.random.Generator) -> Activity:
    """Activity of a microphone that hears a beep begin at each moment."""
    meter = ActivityMeter(StreamInfo("mic", Modality.AUDIO, float(RATE_HZ), (1,), "int16"))
    count = round(seconds * RATE_HZ / CHUNK)
    times = np.arange(count * CHUNK) / RATE_HZ
    sound = random.normal(0, 20, len(times))
    for moment in moments_s:
        on = (times >= moment) & (times < moment + FLASH_S)
        sound[on] += 12_000 * np.cos(2 * np.pi * 1000 * (times[on] - moment))
    for number, chunk in enumerate(np.rint(sound).astype(np.int16).reshape(count, CHUNK, 1)):
        stamp_ns = number * CHUNK * 1_000_000_000 // RATE_HZ
        meter.take(Sample("mic", number, stamp_ns, chunk, Encoding.PCM, position=number * CHUNK))
    return meter.activity()


def found(camera: Camera, moments: int, runs: int) -> Iterator[tuple[float, SyncOffset]]:
    """The true offset, seconds, and what was found, of each run."""
    for seed in range(runs):
        random = np.random.default_rng(seed)
        happened = CALM_S + np.cumsum(random.uniform(*BETWEEN_S, moments))
        seconds = float(happened[-1]) + CALM_S
        late_s = random.uniform(-MOST_AHEAD_S, MOST_AHEAD_S)
        seen = camera.watch(happened + late_s, seconds, random)
        yield late_s, find_offset(listen(happened, seconds, random), seen)


def main(arguments: list[str] | None = None) -> None:
    """Print a line for each camera and count of moments."""
    parser = argparse.ArgumentParser(description="How exactly sync test finds an offset.")
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args(arguments).runs
    print("camera                                moments   error 95 %   bound told   held  to mean")
    for camera, what in (
        (Camera(25, 0.1), "25 Hz, exposed for a tenth"),
        (Camera(25, 1.0), "25 Hz, exposed all the time"),
        (Camera(25, 1.0, jitter_s=0.004), "25 Hz, stamps off by up to 4 ms"),
        (Camera(25, 1.0, brighter=4), "25 Hz, a faint lamp"),
        (Camera(10, 0.1), "10 Hz, exposed for a tenth"),
        (Camera(10, 1.0), "10 Hz, exposed all the time"),
    ):
        for moments in (5, 10, 30):
            pairs = [(late_s, one) for late_s, one in found(camera, moments, runs) if one.sure]
            wrong = np.array([abs(one.offset_ns / 1e6 - late_s * 1e3) for late_s, one in pairs])
            told = np.array([one.uncertainty_ns / 1e6 for _, one in pairs])
            plain = 1.96e3 / camera.rate_hz / (12 * moments) ** 0.5
            error = float(np.quantile(wrong, 0.95))
            print(
                f"{what:36s} {moments:8d} {error:9.1f} ms {np.median(told):9.1f} ms "
                f"{(wrong <= told).mean():6.1%} {error / plain:5.1f} x",
                flush=True,
            )


if __name__ == "__main__":
    main()
