"""The streams of a scene in its recordings: what is learnt together must be in one form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nodes.commission import commission_scene
from nodes.recorded_streams import OneForm, streams_of
from nodes.train_scene import SceneRecordings, train_scene_network
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived, StreamOpened
from pipeline.core.errors import RecordingError
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.models.settings import DetectorSettings
from pipeline.recording.writer import RecordingWriter
from pipeline.training.scene_training import SceneTrainingSettings

S = 1_000_000_000
START_NS = 1_700_000_000 * S
PLC = StreamInfo("plc", Modality.SENSOR, 10.0, (2,), "float64", "", ("pressure", "heat"))
TURNED = replace(PLC, channels=("heat", "pressure"))
WIDER = replace(PLC, shape=(3,), channels=("pressure", "heat", "flow"))
MIC = StreamInfo("mic", Modality.AUDIO, 8000.0, (1,), "int16")
CAM = StreamInfo("cam", Modality.VIDEO, 25.0, (720, 1280, 3), "uint8")
SETTINGS = DetectorSettings(block_s=10.0, folds=3)
DEPLOYMENT = """
name: d
nodes: {n: {sources: [{type: csv_file, path: x.csv, stream: plc},
                      {type: microphone, stream: mic},
                      {type: camera, stream: cam}]}}
scenes: {s: {streams: [plc, mic, cam]}}
"""


def site(folder: Path) -> Deployment:
    file = folder / "d.yaml"
    file.write_text(DEPLOYMENT)
    return load_deployment(file)


def recording(path: Path, infos: Sequence[StreamInfo], later_s: int = 0, each_s: int = 20) -> Path:
    """A recording in which a stream is announced in one form after the other.

    Args:
        path: The file.
        infos: The forms; readings come of those that are sensors.
        later_s: When it begins.
        each_s: How long each form lasts.
    """
    with RecordingWriter(path) as writer:
        for number, info in enumerate(infos):
            begin_ns = START_NS + (later_s + number * each_s) * S
            writer.write(StreamOpened(begin_ns, "n", info))
            for at in range(10 * each_s if info.modality is Modality.SENSOR else 0):
                time_ns = begin_ns + at * S // 10
                values = np.full(info.shape, float(at % 7))
                sample = Sample(info.name, at, time_ns, values, Encoding.FLOAT)
                writer.write(SampleArrived(time_ns + S // 100, "n", sample))
    return path


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (PLC, TURNED, "the list of channels of stream 'plc' is heat, pressure"),
        (PLC, WIDER, "the list of channels of stream 'plc' is pressure, heat, flow"),
        (PLC, replace(PLC, unit="bar"), "the unit of stream 'plc' is bar"),
        (MIC, replace(MIC, rate_hz=16000.0), "the rate in Hz of stream 'mic' is 16000.0"),
        (MIC, replace(MIC, shape=(2,)), "the shape of stream 'mic' is 2"),
        (CAM, replace(CAM, shape=(480, 640, 3)), "the shape of stream 'cam' is 480, 640, 3"),
        (CAM, replace(CAM, shape=()), "the shape of stream 'cam' is none"),
        (replace(CAM, shape=()), CAM, "the shape of stream 'cam' is 720, 1280, 3"),
    ],
)
def test_a_stream_in_another_form_is_refused_with_what_differs_and_where(
    tmp_path: Path, before: StreamInfo, after: StreamInfo, what: str
) -> None:
    first = recording(tmp_path / "first.mcap", [before])
    second = recording(tmp_path / "second.mcap", [after], 100)
    form = OneForm(["plc", "mic", "cam"], SETTINGS)
    form.see([first])
    with pytest.raises(RecordingError, match=f"^{re.escape(str(second))}: {what}, but in ") as told:
        form.see([second])
    assert str(first) in told.value.message


def test_what_learning_does_not_mind_is_one_form(tmp_path: Path) -> None:
    alike = [
        CAM, replace(CAM, shape=(360, 640, 3)), replace(CAM, rate_hz=None, stamp="pts"),
        replace(PLC, name="another", rate_hz=9.0), replace(TURNED, name="another"),
    ]  # fmt: skip
    form = OneForm(["plc", "cam"], SETTINGS)  # the other is of another scene
    form.see([recording(tmp_path / "r.mcap", alike)])


def test_a_change_within_a_recording_counts_only_in_the_span_that_is_learnt(
    tmp_path: Path,
) -> None:
    path = recording(tmp_path / "r.mcap", [PLC, TURNED])
    with pytest.raises(RecordingError, match="heat, pressure, but before it is pressure, heat"):
        OneForm(["plc"], SETTINGS).see([path])
    for span, form in (((None, 20.0), PLC), ((21.0, None), TURNED), ((25.0, 30.0), TURNED)):
        OneForm(["plc"], SETTINGS).see([path], *span)
        assert streams_of(site(tmp_path), "s", [path], *span) == [form]


def test_a_stream_that_is_only_announced_outside_the_span_is_still_known(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.mcap", [PLC, MIC])
    assert streams_of(site(tmp_path), "s", [path], None, 10.0) == [PLC, MIC]


def test_recordings_without_a_stream_of_the_scene_are_refused(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.mcap", [replace(PLC, name="other")])
    with pytest.raises(RecordingError, match="there are other"):
        streams_of(site(tmp_path), "s", [path])


def test_neither_learning_nor_calibrating_nor_training_mixes_forms(tmp_path: Path) -> None:
    deployment = site(tmp_path)
    first = recording(tmp_path / "first.mcap", [PLC])
    second = recording(tmp_path / "second.mcap", [TURNED], 100)
    with pytest.raises(RecordingError, match="cannot be learnt together"):
        commission_scene(deployment, "s", [first, second], tmp_path / "s.model", settings=SETTINGS)
    with pytest.raises(RecordingError, match="cannot be learnt together"):
        commission_scene(
            deployment, "s", [first], tmp_path / "s.model", settings=SETTINGS, calibrate=[second]
        )
    training = SceneTrainingSettings.model_validate({"phases": [{"type": "alignment"}]})
    for recordings in (
        SceneRecordings(deployment, "s", [first, second]),
        SceneRecordings(deployment, "s", [first], labelled=[second]),
    ):
        with pytest.raises(RecordingError, match="cannot be learnt together"):
            train_scene_network(recordings, training, tmp_path, progress=lambda *_: None)
