"""What nodes do to samples and files can be read from their metrics."""

from __future__ import annotations

from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from nodes.equipment_metrics import EquipmentMetrics
from nodes.fusion_metrics import FusionMetrics
from nodes.handing_on import Outcome as Handed
from nodes.recorder import Recorder
from nodes.stamping import Stamper
from nodes.time_metrics import StampMetrics
from pipeline.alignment.stream_clock import Correction
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.sample import Encoding, Modality, Sample, StreamInfo
from pipeline.detection.outcome import Outcome
from pipeline.detection.stream_books import StreamBooks
from pipeline.recording.retention import Removal
from tests.event_samples import life
from tests.unit.recordings import scene

SECOND_NS = 1_000_000_000
CONFIG = """\
name: home
data: data
nodes:
  hall:
    sources:
      - {type: csv_file, stream: climate, path: climate.csv}
scenes:
  hall:
    streams: [climate]
fusion:
  record: {folder: kept, max_file_mb: 0.2, max_total_gb: 0.0006}
"""


def deployment(folder: Path) -> Deployment:
    file = folder / "home.yaml"
    file.write_text(CONFIG)
    return load_deployment(file)


def test_corrected_stamps_are_counted_by_reason_across_announcements(tmp_path: Path) -> None:
    info = StreamInfo("climate", Modality.SENSOR, 10.0, (1,), stamp="device")
    stamper = Stamper(deployment(tmp_path))
    for start_ns in (0, 100 * SECOND_NS):
        stamper.open(info)
        for index in (0, 1, 2, 2, 3):
            at_ns = start_ns + index * SECOND_NS // 10
            stamper.stamp(Sample("climate", index, at_ns, b"", Encoding.FLOAT), 5, 7)
    registry = CollectorRegistry()
    StampMetrics(registry).look(stamper.clocks)

    def told(reason: Correction) -> float | None:
        labels = {"stream": "climate", "reason": reason.value}
        return registry.get_sample_value("fusewatch_stamp_corrections", labels)

    assert told(Correction.REPEATED) == 2
    assert told(Correction.BACK) == 0
    named = {"stream": "climate"}
    assert registry.get_sample_value("fusewatch_stamp_jitter_seconds", named) == 0
    assert registry.get_sample_value("fusewatch_stream_rate_error_ppm", named) == 0


def test_exact_stamps_are_not_corrected_and_have_no_figures(tmp_path: Path) -> None:
    stamper = Stamper(deployment(tmp_path))
    stamper.open(StreamInfo("climate", Modality.SENSOR, 10.0, (1,), stamp="exact"))
    assert stamper.clocks == {}


def test_what_arrived_is_told_against_what_the_node_says() -> None:
    registry = CollectorRegistry()
    books = StreamBooks("hall", arrived=97, skipped=3, last_ns=5 * SECOND_NS, unexplained=2)
    EquipmentMetrics(registry).books({"climate": books})

    def told(metric: str) -> float | None:
        return registry.get_sample_value(f"fusewatch_{metric}", {"stream": "climate"})

    assert (told("arrived_samples"), told("skipped_samples")) == (97, 3)
    assert (told("unexplained_samples"), told("last_sample_time_seconds")) == (2, 5)


def test_events_stand_until_they_are_cleared_and_those_of_an_earlier_run_do_too() -> None:
    registry = CollectorRegistry()
    metrics = FusionMetrics(registry)
    earlier, later = life(1), life(5)
    metrics.standing(earlier[:2])
    outcome = Outcome(windows=[])
    outcome.events = [later[0], msgspec.structs.replace(later[0], id="health-1")]
    metrics.turn(outcome, 0)

    def standing(kind: str) -> float | None:
        labels = {"scene": "hall", "kind": kind}
        return registry.get_sample_value("fusewatch_events_standing", labels)

    assert (standing("alarm"), standing("health")) == (2, 1)
    metrics.standing([earlier[2], later[2]])
    assert (standing("alarm"), standing("health")) == (0, 1)


def test_what_is_held_for_a_cause_is_told_until_it_is_no_more() -> None:
    registry = CollectorRegistry()
    metrics = FusionMetrics(registry)
    metrics.held({"hall": 2}, {("hall", Handed.HELD): 2})
    metrics.held({}, {("hall", Handed.HELD): 2, ("hall", Handed.SENT): 1})
    assert registry.get_sample_value("fusewatch_events_held", {"scene": "hall"}) == 0
    labels = {"scene": "hall", "outcome": "sent"}
    assert registry.get_sample_value("fusewatch_events_inhibited", labels) == 1


def test_recordings_removed_by_the_limits_are_counted(tmp_path: Path) -> None:
    recorder = Recorder(deployment(tmp_path))
    for arrival in scene(8.0):
        recorder.write(arrival)
    recorder.close()
    registry = CollectorRegistry()
    EquipmentMetrics(registry).recording(recorder.lost, recorder.removed)
    removed = recorder.removed[Removal.SIZE]
    assert removed > 3
    labels = {"reason": "size"}
    assert registry.get_sample_value("fusewatch_recordings_removed", labels) == removed
    assert registry.get_sample_value("fusewatch_recordings_removed", {"reason": "age"}) == 0
    assert registry.get_sample_value("fusewatch_recording_lost") == 0
