"""One budget of false alarms for a whole deployment, and scenes that have their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import load_deployment
from pipeline.core.errors import ConfigError

CONFIG = """\
name: site
{line}
nodes:
  edge:
    sources:
      - {{type: scene}}
scenes:
  hall:
    streams: [site-camera]
  yard:
    streams: [site-microphone]
    alarm: {{budget: 6/hour, min_duration_s: 2}}
  lab:
    streams: [site-sensors]
    alarm: {{min_duration_s: 3}}
"""


def budgets(folder: Path, line: str) -> dict[str, str]:
    file = folder / "site.yaml"
    file.write_text(CONFIG.format(line=line), "utf-8")
    return {name: one.alarm.budget for name, one in load_deployment(file).scenes.items()}


def test_scenes_share_the_budget_of_the_deployment_unless_they_have_their_own(
    tmp_path: Path,
) -> None:
    shared = budgets(tmp_path, "budget: 2/week")
    assert shared == {"hall": "2/week", "yard": "6/hour", "lab": "2/week"}
    assert budgets(tmp_path, "") == {"hall": "2/day", "yard": "6/hour", "lab": "2/day"}
    file = tmp_path / "site.yaml"
    assert load_deployment(file).scenes["lab"].alarm.min_duration_s == 3


@pytest.mark.parametrize(
    "budget", ["often", "2", "2/year", "0/day", "-1/day", "nan/day", "inf/day"]
)
def test_a_budget_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, budget: str) -> None:
    with pytest.raises(ConfigError) as caught:
        budgets(tmp_path, f"budget: {budget!r}")
    (problem,) = caught.value.problems
    assert problem.startswith("site.yaml:2: budget: ")
    assert repr(budget) in problem
