"""Why samples of a recording are in none of the windows that are learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodes.commission import commission_scene
from nodes.commissioning.refused_samples import RefusedSamples
from pipeline.alignment.account import Discard, StreamCounts
from pipeline.config import load_deployment
from pipeline.core.arrival import Arrival, SampleArrived, StreamOpened
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter

START_NS = 1_700_000_100 * 10**9
MICROPHONE = StreamInfo("mic", Modality.AUDIO, 8000.0, (1,), "int16")
SENSOR = StreamInfo("plc", Modality.SENSOR, 10.0, (1,), "float64", "", ("v",))
DEPLOYMENT = """
name: d
nodes: {n: {sources: [{type: csv_file, path: x.csv, stream: plc},
                      {type: microphone, stream: mic}]}}
scenes: {s: {streams: [plc, mic]}}
"""


def test_only_reasons_that_tell_of_the_recording_are_told_and_only_many() -> None:
    refused = RefusedSamples()
    for _ in range(2):
        refused.take({
            "cam": StreamCounts(500, discarded={Discard.UNUSED: 400, Discard.LATE: 20}),
            "mic": StreamCounts(500, discarded={Discard.LATE: 200, Discard.MALFORMED: 10}),
            "log": StreamCounts(),  # is in the list and never came
        })  # fmt: skip
    (said,) = refused.warnings()
    assert said == (
        "of 1,000 samples of stream 'mic' are in no window: 400 came too late, "
        "20 are not of the form that the stream announced"
    )


@pytest.mark.parametrize("counted", [True, False])
def test_a_recording_of_ones_own_that_counts_no_sound_is_learnt_with_the_reason(
    tmp_path: Path, counted: bool
) -> None:
    """Each chunk of sound says at which of all samples it begins; here all say the first."""
    random = np.random.default_rng(0)
    arrivals: list[Arrival] = [StreamOpened(START_NS, "n", one) for one in (MICROPHONE, SENSOR)]
    for number in range(900):
        at_ns = START_NS + number * 10**8
        sound = random.normal(0, 900, (800, 1)).astype(np.int16)
        position = number * 800 if counted else 0
        heard = Sample("mic", number, at_ns, sound, Encoding.PCM, position=position)
        read = Sample("plc", number, at_ns, random.normal(0, 1, 1), Encoding.FLOAT)
        arrivals += [SampleArrived(at_ns, "n", read), SampleArrived(at_ns + 10**8, "n", heard)]
    path, file = tmp_path / "r.mcap", tmp_path / "d.yaml"
    file.write_text(DEPLOYMENT)
    with RecordingWriter(path) as writer:
        for arrival in sorted(arrivals, key=lambda one: one.arrival_ns):
            writer.write(arrival)
    settings = DetectorSettings(block_s=10.0, evidence=())
    report = commission_scene(
        load_deployment(file), "s", [path], tmp_path / "s.model", settings=settings
    )
    said = [one for one in report.warnings if "of stream 'mic' are in no window" in one]
    assert (len(said) == 1) is not counted
    if said:
        assert "were there before, by their time or their position" in said[0]
