"""Settings of a scene's training: those shipped, wrong ones, and heads that nothing teaches."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.shipped import shipped_config
from pipeline.config import load_settings
from pipeline.core.errors import ConfigError, ModelError
from pipeline.training.scene_training import SceneTrainingSettings, build_network
from tests.toy_causes import STREAMS

PHASES = ["self_supervision", "alignment", "normality", "fine_tune"]


def test_the_shipped_settings_load() -> None:
    settings = load_settings(shipped_config("models/scene-network.yaml"), SceneTrainingSettings)
    assert [phase.type for phase in settings.phases] == PHASES
    assert SceneTrainingSettings.model_validate_json(settings.model_dump_json()) == settings


def test_wrong_settings_are_refused_with_their_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("task: scene\nphases:\n  - type: alignement\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, SceneTrainingSettings)
    assert "wrong.yaml:3" in caught.value.problems[0]
    assert "alignment" in caught.value.problems[0]


def test_a_head_that_no_phase_teaches_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "heads.yaml"
    heads = "{level: {type: regression, outputs: [level]}}"
    file.write_text(f"task: scene\nnetwork:\n  width: 16\n  heads: {heads}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, SceneTrainingSettings)
    assert "heads.yaml:2: network: no phase teaches the head 'level'" in caught.value.problems[0]
    assert "swapped, anomaly, kind" in caught.value.problems[0]


@pytest.mark.parametrize(
    ("phases", "kinds", "built"),
    [
        (["alignment", "fine_tune"], (), ()),  # nothing is labelled
        (["alignment", "fine_tune"], ("fall", "noise"), ("anomaly", "kind")),
        (["alignment"], ("fall", "noise"), ()),
        (["alignment", "normality"], (), ("swapped",)),
    ],
)
def test_options_of_a_head_are_kept_for_the_phase_that_teaches_it(
    phases: list[str], kinds: tuple[str, ...], built: tuple[str, ...]
) -> None:
    network = {"heads": {"anomaly": {"type": "anomaly", "hidden": 7}}}
    told = {"network": network, "phases": [{"type": kind} for kind in phases]}
    settings = SceneTrainingSettings.model_validate(told)
    model = build_network(settings, STREAMS, kinds)
    assert set(model.head_names) == set(built)
    assert "anomaly" not in built or model.settings.heads["anomaly"].hidden == 7


def test_labels_that_are_all_of_one_kind_are_refused_for_fine_tuning() -> None:
    with pytest.raises(ModelError, match="all labelled events are of the kind 'fall'") as caught:
        build_network(SceneTrainingSettings(), STREAMS, ("fall",))
    assert "leave the phase 'fine_tune' out" in str(caught.value)
