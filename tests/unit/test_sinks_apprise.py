from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pipeline.core.clock import ManualClock
from pipeline.sinks.apprise import AppriseSettings
from pipeline.sinks.base import SinkContext


@pytest.mark.parametrize(
    ("url", "waits"),
    [
        ("json://127.0.0.1/hook", (7.5, 7.5)),
        ("json://127.0.0.1/hook?rto=4.0", (7.5, 4.0)),
        ("json://127.0.0.1/hook?cto=2&rto=20", (2.0, 20.0)),
        ("apprise://127.0.0.1/token1", (7.5, 30.0)),
    ],
)
def test_a_service_gets_the_time_that_was_set(
    tmp_path: Path, url: str, waits: tuple[float, float]
) -> None:
    settings = AppriseSettings.model_validate({"urls": [url], "timeout_s": 7.5})
    with closing(settings.build(SinkContext(ManualClock(0), "site", tmp_path))) as sink:
        sink.open()
        assert sink._services is not None
        assert [service.request_timeout for service in sink._services] == [waits]
