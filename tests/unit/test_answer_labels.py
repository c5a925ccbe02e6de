"""The loop: events are answered, exported as labels, judged by, and learnt from."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nodes.answer_labels import export_labels
from nodes.places import answer_store, fusion_store
from nodes.replay import replay
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event, Phase
from pipeline.store import Action, Answer, Commit, Verdict
from pipeline.training.labels import Label, read_labels
from tests.command_line import fusewatch
from tests.event_samples import event
from tests.explained_samples import WHY
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

HZ, LENGTH_S, NORMAL_S = 2, 300, 150
WRONG = {160.0: -200, 180.0: -190, 200.0: -210, 220.0: -200, 240.0: -200, 260.0: -205, 280.0: -200}
LASTS_S = 5.0
CONFIG = """
name: machine
data: data
nodes:
  player: {sources: [{type: recording, paths: [machine.mcap], streams: [machine-sensors]}]}
scenes:
  machine: {streams: [machine-sensors], model: machine.model, alarm: {budget: 12/hour}}
alert: {sinks: [{type: console}]}
"""
LOOP = {"steps": 4, "evaluate_every": 2}
BLOCKS = {"block_s": 15.0, "held_every": 2}
NETWORK = {
    "task": "scene",
    "network": {"encoders": {"sensor": {"type": "sensor_gru", "width": 8, "steps": 4}}, "width": 8},
    "phases": [{"type": "fine_tune", "batch": 8, "loop": LOOP, "held": BLOCKS}],
    "data": BLOCKS,
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine whose events were found in its recording, and are in the store."""

    folder: Path
    deployment: Deployment
    events: list[Event]

    def answer(self, number: int, verdict: str) -> None:
        event = self.events[number]
        said = Answer(event.id, "machine", Action.VERDICT, verdict, "", "Ada", event.end_ns)
        with closing(answer_store(self.deployment)) as store:
            store.add(said)

    def labels(self) -> Path:
        path = self.folder / "labels.json"
        config = self.folder / "machine.yaml"
        assert fusewatch("feedback", "export", config, "-o", path) == 0
        return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    rng = np.random.default_rng(4)
    rows = ["seconds;speed;heat"]
    for number in range(LENGTH_S * HZ):
        second = number / HZ
        wrong = sum(by for at, by in WRONG.items() if at <= second < at + LASTS_S)
        speed = 1480 + 20 * np.sin(second / 3) + rng.normal(0, 4) + wrong
        rows.append(f"{second:.2f};{speed:.1f};{40 + rng.normal(0, 0.2):.2f}")
    (tmp_path / "machine.csv").write_text("\n".join(rows) + "\n")
    config, recording = tmp_path / "machine.yaml", tmp_path / "machine.mcap"
    config.write_text(CONFIG)
    made = ["--scene", "machine", "--start", "2024-05-01T08:00:00Z", "-o", recording]
    assert fusewatch("import", *made, "--sensors", tmp_path / "machine.csv") == 0
    assert fusewatch("commission", config, "--recording", recording, "--to", NORMAL_S) == 0
    deployment = load_deployment(config)
    events = replay([recording], deployment, from_s=NORMAL_S).events
    with closing(fusion_store(deployment)) as store:
        store.commit(Commit(events=events))
    return Machine(tmp_path, deployment, [e for e in events if e.phase is Phase.CLEARED])


def test_answers_become_labels_that_judge_the_site_and_teach_its_network(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(machine.events) == len(WRONG)
    for number, verdict in enumerate(["real", "normal", "fault", "real", "real", "fault"]):
        machine.answer(number, verdict)
    labels = machine.labels()
    said = " ".join(capsys.readouterr().out.split())
    assert "3 real, 1 normal, 2 fault without a verdict, so that evaluate" in said
    assert "takes them for false alarms: 1" in said

    config, recording = machine.folder / "machine.yaml", machine.folder / "machine.mcap"
    judged = ["-c", config, "-r", recording, "-l", labels, "--from", NORMAL_S]
    assert fusewatch("evaluate", *judged, "-o", machine.folder / "report", "--json") == 0
    found = json.loads(capsys.readouterr().out)["headline"]["events"]
    assert (found["recall"]["found"], found["recall"]["labels"]) == (5, 5)
    assert found["false_alarms"] == 2  # the normal one, and the one that nobody answered

    settings, out = machine.folder / "network.yaml", machine.folder / "network"
    settings.write_text(json.dumps(NETWORK))
    taught = ["-c", config, "-r", recording, "--to", NORMAL_S, "--labelled", recording]
    assert fusewatch("train", settings, *taught, "-l", labels, "-o", out) == 0
    told = json.loads((machine.folder / "network.report" / "training.json").read_text())
    assert [phase["phase"] for phase in told["phases"]] == ["fine_tune"]
    assert told["windows"]["labelled"] > 0


def test_a_label_says_what_where_and_when_and_normal_ones_are_no_labels(tmp_path: Path) -> None:
    first, second, third = (event(at, 1, explanation=WHY) for at in (60, 120, 180))
    equipment = event(200, id="health-1")
    answers = {
        one.id: [Answer(one.id, "hall", Action.VERDICT, said, note, "Ada", 1)]
        for one, said, note in ((first, "real", "a thief"), (second, "normal", ""))
    }
    made = export_labels([second, first, third, equipment], answers)
    assert (made.counts[Verdict.REAL], made.unanswered, made.equipment) == (1, 1, 1)
    real, normal = made.labels
    assert real["notes"] == ["a thief"] and normal["kind"] == "normal"
    assert (real["event"], real["start"]) == (first.id, "1970-01-01T00:01:00.000Z")
    made.write(tmp_path / "labels.json")
    (read,) = read_labels(tmp_path / "labels.json", origin_ns=10 * 10**9)
    assert read == Label(50.0, 52.0, "real", ("audio",), "a sound without its cause")


def commissioned(machine: Machine, *options: str | Path) -> Path:
    """A model learnt from all of the recording, anomalies and all."""
    model = machine.folder / "again.model"
    config = machine.folder / "machine.yaml"
    assert fusewatch("commission", config, "-r", machine.folder, "-o", model, *options) == 0
    return model


def alarms_by(machine: Machine, model: Path) -> int:
    recording = machine.folder / "machine.mcap"
    found = replay([recording], machine.deployment, models={"machine": model}, from_s=NORMAL_S)
    return sum(one.phase is Phase.RAISED and not one.health for one in found.events)


def test_what_was_called_real_or_nothing_is_not_learnt_from_a_site_s_own_recordings(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answer(0, "real")
    machine.answer(1, "fault")
    model = commissioned(machine, "--answers")
    said = " ".join(capsys.readouterr().out.split())
    assert "alarms of this time, by what they were called: 1 real, 0 normal, 1 fault" in said
    assert "Known events found: 2 of 2." in said
    assert f"nobody answered {len(WRONG) - 2} alarms of this time: they are not learnt" in said
    assert "scene machine: 301 windows" in said  # of 596: ten seconds on either side are left out
    assert alarms_by(machine, model) == len(WRONG)


def test_what_was_called_normal_is_learnt_and_so_is_what_is_like_it(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2, 4, 5, 6):  # 0 and 3 are like 2
        machine.answer(number, "normal")
    model = commissioned(machine, "--answers")
    said = " ".join(capsys.readouterr().out.split())
    assert f"by what they were called: 0 real, {len(WRONG)} normal, 0 fault" in said
    assert "nobody answered" not in said
    assert alarms_by(machine, model) == 0


def test_who_learns_what_was_called_real_without_knowing_is_told(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.answer(0, "real")
    commissioned(machine)
    said = " ".join(capsys.readouterr().out.split())
    assert "alarms of this time were called 1 real, and are learnt as normal; --answers" in said
    commissioned(machine, "--to", "150")  # it is not in this time
    assert "learnt as normal" not in capsys.readouterr().out


def test_answers_are_asked_for_where_nothing_was_ever_answered(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    config, recording = machine.folder / "machine.yaml", machine.folder / "machine.mcap"
    assert fusewatch("commission", config, "-r", recording, "--answers") != 0
    assert "answers.db" in " ".join(capsys.readouterr().err.split())
