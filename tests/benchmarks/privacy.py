"""What privacy costs: CPU per picture and per second of sound, and what is then still found.

Run: ``python -m tests.benchmarks.privacy``. CPU is that of this process, on one thread, beside the
JPEG encoding of the same picture in the same run. The second table puts a brief strange tone into
the toy site at several strengths: how often a window with it looks stranger than one without
(AUROC), by the sound itself and by its band levels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import simplejpeg
import torch

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.core.window import Window
from pipeline.detection.scorer import Scorer
from pipeline.models.settings import DetectorSettings
from pipeline.sources.privacy import PrivateOutlet
from pipeline.sources.privacy_settings import BlurSettings, Privacy
from pipeline.sources.scene import SceneSourceSettings, samples
from pipeline.sources.sound_bands import SoundBands
from pipeline.training.commissioning import commission
from tests.outlets import KeptOutlet
from tests.toy_site import MICROPHONE, Site
from tests.unit.test_privacy_sound import MIC, chunks, heard

ZONES = {"a": [(0.0, 0.0), (0.3, 0.0), (0.2, 0.8)], "b": [(0.6, 0.2), (0.9, 0.3), (0.7, 0.7)]}
TURNS = 60
NORMAL, CALM, STRANGE = 480, 240, 120
FAR = 5000


def main() -> None:
    """Print both tables."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    cost_of_pictures()
    cost_of_sound()
    what_is_found()


def frames(count: int) -> list[np.ndarray]:
    """Pictures of 1280 x 720 in which somebody walks now and then."""
    site = SceneSourceSettings(size=(1280, 720), audio=None, sensor=None, jpeg_quality=None)
    return [s.data for s in samples(site, 0, from_s=0.0, to_s=count / 10)]  # type: ignore[misc]


def cost_of_pictures() -> None:
    """CPU per 720p picture."""
    pictures = frames(TURNS)
    jpegs = [simplejpeg.encode_jpeg(p, quality=85, colorspace="BGR") for p in pictures]
    encode = cpu_ms(
        lambda n: simplejpeg.encode_jpeg(
            pictures[n], quality=85, colorspace="BGR", colorsubsampling="420"
        )
    )
    print(f"{'720p picture':<34}{'CPU ms':>8}{'of one JPEG encoding':>24}")
    print(f"{'JPEG encoding alone':<34}{encode:>8.2f}{1:>24.2f}")
    for name, privacy in (
        ("mask", Privacy(ZONES)),
        ("blur all", Privacy(blur=BlurSettings(what="all"))),
        ("blur moving", Privacy(blur=BlurSettings(what="moving"))),
    ):
        for kind, data in ((Encoding.RAW, pictures), (Encoding.JPEG, jpegs)):
            cost = cpu_ms(through(privacy, kind, data))
            print(f"{f'{name}, {kind.value}':<34}{cost:>8.2f}{cost / encode:>24.2f}")


def through(privacy: Privacy, kind: Encoding, data: Sequence[object]) -> Callable[[int], object]:
    """Pictures through an outlet that takes out what is private."""
    kept = KeptOutlet()
    private = PrivateOutlet(kept, lambda _: privacy)
    private.opened((StreamInfo("cam", Modality.VIDEO, 10.0, (720, 1280, 3), "uint8"),))

    def take(number: int) -> None:
        kept.kept.clear()
        private.samples([Sample("cam", 0, number * 10**8, data[number], kind)])  # type: ignore[arg-type]

    return take


def cost_of_sound() -> None:
    """CPU per second of sound at 16 kHz."""
    sound = np.random.default_rng(1).normal(0, 900, 16_000 * TURNS).astype(np.int16)
    parts = list(chunks(sound))
    bands = SoundBands(MIC)
    begun = time.process_time()
    made = sum(len(list(bands.take(part))) for part in parts)
    cost = (time.process_time() - begun) / TURNS * 1e3
    raw, left = 16_000 * 16, made / TURNS * 19 * 64
    print(f"\none second of sound to levels: {cost:.2f} ms; {raw / left:.0f} times fewer bits\n")


def what_is_found() -> None:
    """AUROC of a tone that was never heard, by loudness, from sound and from levels."""
    own = _learnt(Site(streams=(MICROPHONE,)).windows(0, NORMAL))
    levels = _learnt(heard(0, 0, NORMAL))
    print(f"{'strange tone':<20}{'by the sound':>14}{'by its levels':>15}")
    for peak in (0.05, 0.02, 0.01, 0.005):
        tone = f"sound:{peak:g}"
        strange = Site(1, tone, FAR, FAR + STRANGE, streams=(MICROPHONE,))
        calm = Site(1, streams=(MICROPHONE,))
        first = _auroc(own, calm.windows(FAR, CALM), strange.windows(FAR, STRANGE - 4))
        odd = heard(1, FAR, STRANGE - 4, FAR, FAR + STRANGE, tone)
        second = _auroc(levels, heard(1, FAR, CALM), odd)
        print(f"{f'peak {peak:g}':<20}{first:>14.2f}{second:>15.2f}")


def _learnt(windows: Sequence[Window]) -> Scorer:
    model, _ = commission("hall", windows, DetectorSettings(evidence=()))
    return Scorer({"hall": model}, "cpu")


def _auroc(scorer: Scorer, calm: Sequence[Window], strange: Sequence[Window]) -> float:
    usual, odd = (np.array([s.p for s in scorer.score(list(w))]) for w in (calm, strange))
    less = (odd[:, None] < usual[None]) + 0.5 * (odd[:, None] == usual[None])
    return float(less.mean())


def cpu_ms(work: Callable[[int], object]) -> float:
    """CPU of one turn, milliseconds."""
    work(0)
    begun = time.process_time()
    for number in range(TURNS):
        work(number)
    return (time.process_time() - begun) / TURNS * 1e3


if __name__ == "__main__":
    main()
