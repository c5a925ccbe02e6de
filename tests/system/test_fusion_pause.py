"""A fusion node that stood still, as on a machine that was suspended, or by SIGSTOP."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from nodes.fusion import FusionNode
from nodes.places import fusion_store
from pipeline.config import load_deployment
from pipeline.core.clock import ManualClock
from pipeline.core.event import HEALTH_PREFIX
from tests.system.ports import free_port
from tests.system.test_fusion_clock import DEPLOYMENT, UTC, S

pytestmark = pytest.mark.system


@pytest.mark.parametrize(("steps_s", "told"), [([60.0], []), ([1.0] * 60, ["node:yard"])])
def test_while_it_stood_still_nobody_was_silent(
    tmp_path: Path, steps_s: list[float], told: list[str]
) -> None:
    config = tmp_path / "yard.yaml"
    config.write_text(DEPLOYMENT.format(port=free_port()))
    deployment = load_deployment(config)
    clock = ManualClock(UTC)
    node = FusionNode(deployment, clock)
    with capture_logs() as logs:
        node.start()
        for passed_s in steps_s:
            clock.advance(round(passed_s * S))
            node.step(0.0)
    node.close()
    store = fusion_store(deployment)
    assert [event.alarm for event in store.phases(HEALTH_PREFIX)] == told
    store.close()
    away = [entry["for_s"] for entry in logs if entry["event"] == "was away"]
    assert away == [s for s in steps_s if s > 1.0]
