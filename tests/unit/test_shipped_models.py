"""Every detector and training in ``configs/models`` learns and judges, in fewer steps.

The site is two readings that belong together, for as long as the networks ask for. How well each
does is for the benchmarks; `tests.unit.test_train_command` and `test_training_further_heads` run
the classifiers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from nodes.commission import commission_scene
from nodes.replay import replay
from nodes.shipped import shipped_config
from pipeline.config import load_deployment, load_settings
from pipeline.config.deployment import Deployment
from pipeline.models.settings import DetectorSettings
from tests.command_line import fusewatch
from tests.model_samples import one_thread  # noqa: F401 - a fixture

pytestmark = pytest.mark.usefixtures("one_thread")

MODELS = shipped_config("models/default.yaml").parent
DETECTORS = sorted(
    file for file in MODELS.rglob("*.yaml") if "task" not in yaml.safe_load(file.read_text("utf-8"))
)
HZ, LENGTH_S, LIVE_S = 2, 500, 40
FEWER = {"steps": 4, "members": 1, "spares": 1}
CONFIG = """
name: machine
data: data
nodes:
  player:
    sources: [{type: recording, paths: [site.mcap], streams: [load, hum]}]
scenes:
  machine: {streams: [load, hum], window_s: 4, hop_s: 2}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A machine whose hum follows its load, recorded."""
    folder = tmp_path_factory.mktemp("machine")
    (folder / "machine.yaml").write_text(CONFIG)
    random = np.random.default_rng(3)
    count = LENGTH_S * HZ
    load = np.repeat(random.choice([1.0, 4.0, 8.0], count // 10), 10)
    sensors = []
    for name, values in (("load", load), ("hum", 3 * load)):
        noisy = values + random.normal(0, 0.1, count)
        rows = "\n".join(f"{n / HZ:.2f};{value:.3f}" for n, value in enumerate(noisy))
        (folder / f"{name}.csv").write_text(f"seconds;{name}\n{rows}\n")
        sensors += ["--sensors", f"{name}={folder / name}.csv"]
    target = ["--scene", "machine", "-o", folder / "site.mcap"]
    assert fusewatch("import", *target, *sensors) == 0
    return load_deployment(folder / "machine.yaml")


@pytest.mark.parametrize("file", DETECTORS, ids=lambda file: file.stem)
def test_each_detector_is_learnt_and_scores(
    file: Path, machine: Deployment, tmp_path: Path
) -> None:
    shipped = load_settings(file, DetectorSettings)
    settings = shipped.model_copy(update={"odd": shipped.odd.model_copy(update=FEWER)})
    recording = machine.data.parent / "site.mcap"
    model = tmp_path / "machine.model"
    commission_scene(machine, "machine", [recording], model, settings=settings)
    replayed = replay([recording], machine, models={"machine": model}, from_s=LENGTH_S - LIVE_S)
    assert len(replayed.scores) > LIVE_S // 2 - 4
    spoke = {
        detector.partition(":")[0] for score in replayed.scores for detector in score.detectors
    }
    assert spoke == {"sensor", *(evidence.value for evidence in settings.evidence)}
    assert all(0 < score.p <= 1 for score in replayed.scores)


def test_the_network_of_a_scene_is_trained_in_all_its_phases_and_speaks_in_alarms(
    machine: Deployment, tmp_path: Path
) -> None:
    text = yaml.safe_load((MODELS / "scene-network.yaml").read_text("utf-8"))
    (tmp_path / "short.yaml").write_text(yaml.safe_dump(in_fewer_steps(text)))
    folder, network = machine.data.parent, tmp_path / "machine.network"
    words = ["--config", folder / "machine.yaml", "-r", folder / "site.mcap", "--to", 300]
    assert fusewatch("train", tmp_path / "short.yaml", *words, "-o", network) == 0
    learnt = ["-r", folder / "site.mcap", "--from", 300, "-o", tmp_path / "machine.model"]
    detector = ["--detector", MODELS / "single-senses.yaml", "--network", network]
    assert fusewatch("commission", folder / "machine.yaml", *learnt, *detector) == 0


def in_fewer_steps(text: dict[str, Any]) -> dict[str, Any]:
    for phase in text["phases"]:
        phase["loop"] |= {"steps": 4, "evaluate_every": 2}
    return text
