"""What a detector is made of and how it is learnt; stored in the model file as it was."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from pipeline.core.settings import Settings
from pipeline.models.odd_settings import OddSettings


class Evidence(StrEnum):
    """What may speak for an anomaly beside the streams' own detectors."""

    BETWEEN = "between"
    """Every stream predicted from the others: do they belong together?"""

    ODD = "odd"
    """A network that tells which stream comes from another time: what a line cannot predict."""

    JOINT = "joint"
    """One density of all streams; finds little, kept to compare with."""


class WorthSettings(Settings):
    """How much what a detector says counts among the others: its ``-log10 p`` is multiplied by it.

    One p is not worth as much as another. What a faulty sensor says has no end, but a network can
    be no surer than sure, so where a stream is the odd one out, it lies just beyond the rarest
    normal, as does a strange thing among the many that pass. The defaults were chosen on three
    synthetic sites. Whatever they are, what comes of them is calibrated anew, so the rate of false
    alarms stays; only whose they are changes.
    """

    video: float = Field(default=1.0, gt=0, le=10)
    """The picture's places."""

    things: float = Field(default=1.2, gt=0, le=10)
    """What stands before the learnt background of a camera."""

    audio: float = Field(default=1.0, gt=0, le=10)
    """Sound."""

    sensor: float = Field(default=1.0, gt=0, le=10)
    """Readings."""

    text: float = Field(default=1.0, gt=0, le=10)
    """Lines of text."""

    between: float = Field(default=1.0, gt=0, le=10)
    """Streams predicted from the others."""

    odd: float = Field(default=1.3, gt=0, le=10)
    """The network that tells which stream comes from another time."""

    joint: float = Field(default=1.0, gt=0, le=10)
    """The joint density of all streams."""

    network: float = Field(default=1.0, gt=0, le=10)
    """A network trained by ``fusewatch train``."""


class DetectorSettings(Settings):
    """Options of ``fusewatch commission``. The defaults suit a camera, a microphone, sensors."""

    picture_cells: int = Field(default=144, ge=4, le=1024)
    """About how many cells a picture is divided into; each is judged on its own. The same in all
    scenes that share a camera."""

    audio_bands: int = Field(default=40, ge=4, le=128)
    """Mel bands; fewer where the sample rate is too low for as many."""

    neighbours: int = Field(default=3, ge=1)
    """The distance to this nearest normal neighbour is what counts."""

    memory: int = Field(default=2000, ge=16)
    """Normal windows remembered per stream and jointly."""

    place_memory: int = Field(default=400, ge=16)
    """Normal windows remembered per cell, band or channel."""

    embedding_dims: int = Field(default=32, ge=1)
    """Principal components kept per stream."""

    evidence: tuple[Evidence, ...] = (Evidence.BETWEEN, Evidence.ODD)
    """Evidence between streams, beside what each stream shows alone."""

    prediction_dims: int = Field(default=16, ge=1)
    """Principal components of a stream that are predicted from the others'; fewer after a short
    recording, one to 75 windows but at least six."""

    odd: OddSettings = OddSettings()
    """The network of `odd`."""

    worth: WorthSettings = WorthSettings()
    """How much each detector counts among the others."""

    lasting_windows: int = Field(default=4, ge=1, le=100)
    """So many windows in a row are heard together beside the newest: what lasts is rarer than what
    comes and goes. Four are about one length of a window by default; 1: each speaks alone, as they
    do where windows overlap so much that a row is less than one and a half as long as one."""

    joint_dims: int = Field(default=12, ge=1)
    """Principal components each stream gives to the joint density."""

    common_modes: int = Field(default=6, ge=0)
    """Changes of the whole picture (lamps, clouds) taken out before cells are judged."""

    drift_hours: float = Field(default=12.0, ge=0)
    """How long slow changes (temperature, light) may go on after the end of the normal that was
    learnt, hours. Pictures and sound are judged as if all of it had passed; limits of sensors
    that wandered widen by the clock until then, or for as long as was learnt if that is longer."""

    min_coverage: float = Field(default=0.5, gt=0, le=1)
    """A stream with less of its window present is not scored; of a sensor stream, each channel
    is asked by itself."""

    timeless_lines: bool = True
    """Leave the time that a line of text tells out of it before lines are compared."""

    moments: int = Field(default=256, ge=0, le=2000)
    """Normal moments kept in the model file, to compare what is unusual with; 0: none."""

    moment_pictures: bool = True
    """Keep a small picture of each moment (2 MB in all at most), as it was recorded: masked and
    blurred where the deployment says so. It stays for as long as the model file does."""

    folds: int = Field(default=4, ge=2)
    """Parts of the normal data: each is scored by a detector learnt from the others."""

    block_s: float = Field(default=30.0, gt=0)
    """Length of the stretches dealt out to the parts, seconds."""

    min_windows: int = Field(default=60, ge=20)
    """Fewer windows than this are refused."""

    max_windows: int = Field(default=20_000, ge=100)
    """Beyond this many windows whole stretches are left out evenly."""

    seed: int = 0
    """Choice of the remembered windows."""
