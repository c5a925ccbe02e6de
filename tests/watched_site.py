"""A deployment that looks alive: events in its store, and windows shown as a fusion node does."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import msgspec
import numpy as np
from safetensors.numpy import save_file

from nodes.live_view import LiveView
from nodes.places import evidence_folder, fusion_store, score_history
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.arrival import SampleArrived
from pipeline.core.event import Event, Evidence, Heard, Phase
from pipeline.core.explanation import Basis, Box, Channel, Explanation, Moment, Then
from pipeline.core.sample import Encoding, Sample
from pipeline.detection.evidence_encoding import write_wav
from pipeline.detection.kept_scoring import STATE_VERSION, ScoringState
from pipeline.detection.score import WindowScore
from pipeline.models.normal_bank import NormalBank, StreamMoments
from pipeline.models.normal_bank_file import bank_arrays
from pipeline.store import Commit, SceneCheckpoint, ScoreMinute
from tests.event_samples import event
from tests.toy_site import FIRST, HOP_NS, Site

SECOND_NS = 1_000_000_000
NORMAL_NS = FIRST * HOP_NS
WHY = Explanation(
    kind=Basis.BETWEEN,
    contributions={"mic": 4.0, "cam": 1.0},
    pair=("mic", "cam"),
    boxes=(Box("cam", 0.1, 0.2, 0.3, 0.4, 3.0),),
    channels=(
        Channel("plc", "heat", "value", 61.0, 20.0, 30.0),
        Channel("plc", "bearing_temperature_drive_end", "slow vibration", 6.852, 0.214, 1.788),
    ),
    nearest=(
        Moment(
            at_ns=NORMAL_NS,
            distance=1.5,
            differs="mic",
            streams={"cam": 0.9, "mic": 4.2},
            pictures=("cam",),
            levels=(Then("plc", "heat", 24.5, 61.0),),
        ),
    ),
)


def watched_deployment(folder: Path, page: str = "127.0.0.1:0") -> Deployment:
    """A deployment of the toy site, in a folder of its own."""
    file = folder / "site.yaml"
    file.write_text(
        f"""
name: watched
data: data
nodes:
  site:
    sources: [{{type: scene, video: cam, audio: mic, sensor: plc}}]
scenes:
  hall:
    streams: [cam, mic, plc]
    model: hall.model
    alarm: {{budget: 2/week}}
dashboard: {{listen: "{page}"}}
"""
    )
    write_moments(folder / "hall.model")
    return load_deployment(file)


def write_moments(model: Path) -> None:
    """Of a model file only what the page reads of it: a picture of a normal moment."""
    picture = np.full((90, 160, 3), (160, 120, 60), np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    kept = StreamMoments(np.zeros((1, 1), np.float32), np.zeros((1, 0), np.float32), (jpeg,))
    start_ns = np.array([NORMAL_NS], np.int64)
    bank = NormalBank(start_ns, np.ones((1, 1), np.bool_), np.ones(1), {"cam": kept})
    save_file(bank_arrays(bank), model, {"description": '{"streams": [{"name": "cam"}]}'})


def happened(deployment: Deployment, start_s: int) -> list[Event]:
    """An event's three phases, committed, with a picture and a sound of it."""
    changes = {
        "explanation": WHY,
        "summary": "Sound without its cause: nothing moved",
        "heard": {"odd": Heard(4.0, "mic does not fit what cam shows"), "sensor:plc": Heard(3.2)},
    }
    raised = event(start_s, **changes)
    shown = Evidence(
        snapshot=f"{raised.id}/snapshot.jpg",
        explained=f"{raised.id}/explained.jpg",
        sound=f"{raised.id}/sound.wav",
    )
    life = [
        event(start_s, number, phase=phase, evidence=shown, **changes)
        for number, phase in enumerate((Phase.RAISED, Phase.UPDATED, Phase.CLEARED))
    ]
    folder = evidence_folder(deployment) / raised.id
    folder.mkdir(parents=True)
    picture = np.full((90, 160, 3), (60, 120, 60), np.uint8)
    for name in ("snapshot.jpg", "explained.jpg"):
        cv2.imwrite(str(folder / name), picture)
    tone = (8000 * np.sin(np.arange(16_000) * 0.8)).astype(np.int16)[:, None]
    write_wav(folder / "sound.wav", [Sample("mic", 0, 0, tone, Encoding.PCM)], 8000)
    store = fusion_store(deployment)
    store.commit(Commit(events=life))
    store.close()
    return life


def remembered(deployment: Deployment, minutes: range) -> None:
    """Scores of these minutes, in which the scene was watched."""
    spans = [(minutes.start * 60 * SECOND_NS, minutes.stop * 60 * SECOND_NS)]
    state = msgspec.msgpack.encode(ScoringState(STATE_VERSION, "hall", "", spans))
    with closing(fusion_store(deployment)) as store:
        store.commit(Commit(scenes={"hall": SceneCheckpoint(minutes.stop * 120, b"", state)}))
    history = score_history(deployment)
    history.put("hall", [ScoreMinute(m, 120, 0, 0.5 + (m % 5), {"between": 0.5}) for m in minutes])
    history.close()


class Shown:
    """Shows the windows of the toy site, one after the other, as a fusion node does."""

    def __init__(self, deployment: Deployment, now_ns: int) -> None:
        self.view = LiveView(deployment, {"hall": 3.0})
        self._site = Site()
        self._next = now_ns // HOP_NS - FIRST - 4

    def next(self, p: float = 0.01) -> int:
        """Show one window; its index."""
        window = self._site.window(self._next)
        self._next += 1
        part = window.slices["cam"]
        for frame in part.frames[-3:]:  # type: ignore[union-attr]
            self.view.take(SampleArrived(window.end_ns, "site", frame))
        score = WindowScore(
            "hall",
            window.index,
            window.start_ns,
            window.end_ns,
            p,
            {"between": p, "audio:mic": 0.5},
        )
        self.view.show([window], [score])
        return window.index

    def close(self) -> None:
        self.view.close()
