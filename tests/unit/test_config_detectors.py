"""Every detector that is shipped in configs/models loads, and all kinds have a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import load_settings
from pipeline.core.errors import ConfigError
from pipeline.models.contexts.gru import GruSettings
from pipeline.models.fusions.base import FUSIONS
from pipeline.models.settings import DetectorSettings, Evidence

MODELS = Path(__file__).resolve().parents[2] / "configs" / "models"
NETWORKS = {"classifier", "many-heads", "scene-network"}  # for `fusewatch train`
DETECTORS = [
    *(file for file in sorted(MODELS.glob("*.yaml")) if file.stem not in NETWORKS),
    *sorted((MODELS / "fusions").glob("*.yaml")),
]


@pytest.mark.parametrize("file", DETECTORS, ids=lambda file: file.stem)
def test_each_loads(file):
    assert isinstance(load_settings(file, DetectorSettings), DetectorSettings)


def test_every_fusion_has_a_file_that_chooses_it():
    for kind in FUSIONS.kinds():
        settings = load_settings(MODELS / "fusions" / f"{kind}.yaml", DetectorSettings)
        assert settings.odd.fusion.type == kind
        assert Evidence.ODD in settings.evidence


def test_the_default_is_what_is_learnt_without_any():
    assert load_settings(MODELS / "default.yaml", DetectorSettings) == DetectorSettings()


def test_options_of_a_kind_are_checked_with_the_line(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("odd:\n  context:\n    type: gru\n    hiden: 3\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(file, DetectorSettings)
    assert "mine.yaml:4" in caught.value.problems[0]
    file.write_text("odd:\n  context:\n    type: gru\n    hidden: 16\n")
    assert load_settings(file, DetectorSettings).odd.context == GruSettings(hidden=16)
