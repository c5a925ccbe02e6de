"""How much faster than real time the synthetic site is, on one core.

Run: ``python -m tests.benchmarks.scene``. CPU time is counted, not wall time, so that a busy
machine does not spoil the figure. The limit beside it is JPEG encoding of the same frames and
nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import simplejpeg

from pipeline.sources.scene import SceneSourceSettings
from pipeline.sources.synthetic.playhead import Playhead
from pipeline.sources.synthetic.reel import Reel

SECONDS = 40
TARGET = 10.0
FROM_S = 600.0


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process that `work` takes."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def stretch(settings: SceneSourceSettings) -> Callable[[], object]:
    """Everything of a stretch, once what is drawn once a place is there."""
    reel = Reel(settings)
    reel.prepare()

    def work() -> None:
        playhead = Playhead(reel, 0, FROM_S, FROM_S + SECONDS)
        while not playhead.done:
            playhead.take()

    return work


def main() -> None:
    """Print the table."""
    alone = {"video": None, "audio": None, "sensor": None}
    rows = {
        "all streams, 640x360 JPEG": SceneSourceSettings(anomalies={"every_s": 15}),
        "all streams, raw frames": SceneSourceSettings(jpeg_quality=None),
        "all streams, 320x180 JPEG": SceneSourceSettings(size=(320, 180)),
        "all streams, 96x64 raw": SceneSourceSettings(size=(96, 64), jpeg_quality=None),
        "sound alone, 16 kHz": SceneSourceSettings(**(alone | {"audio": "a"})),
        "sensors alone, 10 Hz": SceneSourceSettings(**(alone | {"sensor": "s"})),
    }
    reel = Reel(SceneSourceSettings())
    frames = [reel.frame(int(FROM_S * 10) + k) for k in range(0, 400, 40)]
    encode = cpu_s(lambda: [simplejpeg.encode_jpeg(f, 85, "BGR", "420") for f in frames * 8])
    limit = len(frames) * 8 / 10.0 / encode
    print(f"synthetic site, {SECONDS} s from second {FROM_S:.0f}, one core (CPU time)")
    print(f"{'what':30} {'x real time':>12} {'of JPEG alone':>14} {'target':>8}")
    print(f"{'JPEG encoding alone':30} {limit:12.1f} {1.0:14.2f} {'':>8}")
    for name, settings in rows.items():
        speed = SECONDS / cpu_s(stretch(settings))
        target = f">= {TARGET:.0f}" if name.startswith("all streams, 640") else ""
        print(f"{name:30} {speed:12.1f} {speed / limit:14.2f} {target:>8}")
    begin = cpu_s(lambda: Reel(SceneSourceSettings(place=77)).prepare())
    print(f"a new place takes {begin:.2f} s of CPU before its first frame")


if __name__ == "__main__":
    main()
