"""A fusion node that starts again by a clock that was set back."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nodes.fusion import FusionNode
from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.core.clock import ManualClock
from pipeline.store import Commit, SceneCheckpoint
from tests.system.ports import free_port

pytestmark = pytest.mark.system

S = 1_000_000_000
UTC = 1_700_000_000 * S
DEPLOYMENT = """
name: set-back
data: .
nodes:
  yard:
    sources:
      - {{type: scene, video: cam, audio: mic, sensor: plc}}
scenes:
  hall:
    streams: [cam, mic, plc]
fusion: {{listen: "tcp://127.0.0.1:{port}"}}
"""


@pytest.mark.parametrize("hop_s", [0.5, 0.25])
@pytest.mark.parametrize(("back_s", "told"), [(3600, [3600]), (0, [])])
def test_a_clock_that_was_set_back_since_the_last_commit_is_told(
    tmp_path: Path, back_s: int, told: list[int], hop_s: float
) -> None:
    config = tmp_path / "yard.yaml"
    config.write_text(DEPLOYMENT.format(port=free_port()))
    deployment = load_deployment(config)
    assert deployment.scenes["hall"].hop_s == 0.5
    store = fusion_store(deployment)
    committed = SceneCheckpoint(round(UTC / S / hop_s), b"", hop_ns=round(hop_s * S))
    store.commit(Commit({"hall": committed}, {}, ()))
    store.close()
    node = FusionNode(deployment, ManualClock(UTC - back_s * S))
    with capture_logs() as logs:
        node.start()
    node.close()
    assert [entry["for_s"] for entry in logs if "set back" in entry["event"]] == told
