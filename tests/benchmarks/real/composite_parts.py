"""Parts of a composite site as the detector sees them, rendered once and kept on disk.

A site has three parts: a normal to learn, the last third of which has material of its own, a
fresh normal to count false alarms on, and one with anomalies. They are `Recorded` as synthetic
sites are, with what is in the picture beside.
The cache is named by everything that a part is made of but the code and the recordings: after
a change of those it has to be deleted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.models.picture import prepare_picture
from pipeline.models.settings import DetectorSettings
from pipeline.training.labels import Label
from tests.benchmarks.real.composite_cause import Script
from tests.benchmarks.real.composite_files import Choice, cast
from tests.benchmarks.real.composite_material import Group, Ints, Material, Pictures
from tests.benchmarks.real.composite_readings import readings
from tests.benchmarks.real.composite_script import make_script
from tests.benchmarks.real.composite_streams import pictures, sound
from tests.benchmarks.synthetic_sites import RATE_HZ, SOUND_HZ, Part, Recorded


class Stretch(StrEnum):
    """What is rendered in one piece."""

    LEARN = "learn"
    CALIBRATE = "calibrate"
    NORMAL = "normal"
    WRONG = "wrong"


LENGTH_S = {
    Stretch.LEARN: 1080,
    Stretch.CALIBRATE: 540,
    Stretch.NORMAL: 900,
    Stretch.WRONG: 1200,
}
GROUPS = {
    Stretch.LEARN: Group.LEARN,
    Stretch.CALIBRATE: Group.CALIBRATE,
    Stretch.NORMAL: Group.JUDGE,
    Stretch.WRONG: Group.JUDGE,
}
STRETCHES = {
    Part.TRAIN: (Stretch.LEARN, Stretch.CALIBRATE),
    Part.NORMAL: (Stretch.NORMAL,),
    Part.WRONG: (Stretch.WRONG,),
}
APART_S = 3600  # from the begin of one part to that of the next


@dataclass(frozen=True, slots=True)
class Shown:
    """A part, and what is in the picture at each moment: codes of `composite_streams.Shown`."""

    part: Recorded
    shown: Ints


def parts_of(
    data: Path, choice: Choice, cache: Path, tell: Callable[[str], None]
) -> dict[Part, Shown]:
    """The parts of a site, rendered when the cache does not hold them.

    Args:
        data: Folder of the recordings.
        choice: What the site is made of.
        cache: Folder that holds a folder per site.
        tell: Called with a line when rendering begins, as that takes a while.
    """
    about = json.dumps([asdict(choice), LENGTH_S])
    folder = cache / f"composite-{choice.seed}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
    names = folder / "channels.json"
    if not names.exists():
        tell(f"rendering {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        made = cast(data, choice)
        for number, stretch in enumerate(Stretch):
            script, material = script_of(choice, stretch), made.groups[GROUPS[stretch]]
            render(script, material, choice.seed * len(Stretch) + number, folder / stretch)
        names.write_text(json.dumps(made.channels), "utf-8")
    channels = tuple(json.loads(names.read_text("utf-8")))
    return {
        part: kept([(script_of(choice, s), folder / s) for s in STRETCHES[part]], part, channels)
        for part in Part
    }


def script_of(choice: Choice, stretch: Stretch) -> Script:
    """What happens in a stretch."""
    seed = choice.seed * len(Stretch) + list(Stretch).index(stretch)
    return make_script(LENGTH_S[stretch], seed, wrong=stretch is Stretch.WRONG)


def render(script: Script, material: Material, seed: int, stem: Path) -> None:
    """Write what the streams show of a script to ``<stem>.*.npy``."""
    count = round(script.length_s * RATE_HZ)
    film = None
    shown = np.zeros(count, np.int64)
    for row, (picture, what) in enumerate(pictures(script, material, seed)):
        small = _prepared(picture)
        if film is None:
            shape = (count, *small.shape)
            film = np.lib.format.open_memmap(f"{stem}.v.npy", "w+", np.uint8, shape)
        film[row], shown[row] = small, what
    np.save(f"{stem}.a.npy", sound(script, material, seed).reshape(count, -1))
    np.save(f"{stem}.s.npy", readings(script, material, seed))
    np.save(f"{stem}.shown.npy", shown)


def kept(made: Sequence[tuple[Script, Path]], part: Part, channels: tuple[str, ...]) -> Shown:
    """A part that was rendered, of scripts that follow one another."""
    begin_s = list(Part).index(part) * APART_S
    labels: list[Label] = []
    at_s = float(begin_s)
    for script, _ in made:
        for one in script.labels:
            labels.append(replace(one, start_s=one.start_s + at_s, end_s=one.end_s + at_s))
        at_s += script.length_s
    film, heard, read, shown = (
        _joined([Path(f"{stem}.{kind}.npy") for _, stem in made])
        for kind in ("v", "a", "s", "shown")
    )
    streams = infos((film.shape[1], film.shape[2]), channels)
    return Shown(Recorded(begin_s, streams, tuple(labels), film, heard, read), shown)


def _joined(files: Sequence[Path]) -> np.ndarray[Any, np.dtype[Any]]:
    """Arrays one after the other; a single one stays on disk."""
    arrays = [np.load(file, mmap_mode="r") for file in files]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def infos(size: tuple[int, int], channels: tuple[str, ...]) -> tuple[StreamInfo, ...]:
    """The streams of a site whose pictures are of this height and width."""
    return (
        StreamInfo("camera", Modality.VIDEO, RATE_HZ, (*size, 3), "uint8"),
        StreamInfo("microphone", Modality.AUDIO, SOUND_HZ, (1,), "int16"),
        StreamInfo(
            "sensors", Modality.SENSOR, RATE_HZ, (len(channels),), "float64", channels=channels
        ),
    )


def _prepared(picture: Pictures) -> Pictures:
    sample = Sample("", 0, 0, picture, Encoding.RAW)
    return np.asarray(prepare_picture(sample, DetectorSettings().picture_cells).data, np.uint8)
