from __future__ import annotations

from nodes.shipped import shipped_config
from pipeline.config import load_settings
from pipeline.training.scene_training import SceneTrainingSettings
from tests.benchmarks.phases import Outcome, shortened, table, variants

SHIPPED = load_settings(shipped_config("models/scene-network.yaml"), SceneTrainingSettings)


def test_each_phase_that_needs_no_labels_is_left_out_once():
    found = {name: [p.type for p in phases] for name, phases in variants(SHIPPED).items()}
    assert found == {
        "all phases": ["self_supervision", "alignment", "normality"],
        "without self_supervision": ["alignment", "normality"],
        "without alignment": ["self_supervision", "normality"],
        "without normality": ["self_supervision", "alignment"],
    }


def test_a_share_of_the_steps_is_taken_of_every_phase():
    short = shortened(SHIPPED, 0.25).phases
    assert [p.loop.steps for p in short] == [p.loop.steps // 4 for p in SHIPPED.phases]


def test_what_was_not_learnt_is_not_told():
    nothing = float("nan")
    lines = table(
        [
            Outcome("all phases", 0.125, 0.5, 0.75, 0.625, 0.875, 90.0, 20.0),
            Outcome("no network", nothing, nothing, nothing, nothing, 0.9, 0.0, 15.0),
        ]
    ).splitlines()
    assert lines[1].split() == ["all", "phases", "12.5%", "50.0%", "0.750", "0.625", "0.875",
                                "90", "20.0"]  # fmt: skip
    assert lines[2].split() == ["no", "network", "-", "-", "-", "-", "0.900", "0", "15.0"]
