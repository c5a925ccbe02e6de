"""How the other processes of a deployment on this machine are: their own checks, by HTTP."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from nodes.dashboard.views import CheckView, NodeView
from nodes.run_files import RunFile, read_run_files

_TIMEOUT_S = 1.0


def node_views(data: Path) -> list[NodeView]:
    """All processes with a run file in a data folder, by name."""
    return [_node(run) for run in read_run_files(data)]


def _node(run: RunFile) -> NodeView:
    checks = None if run.http is None else _asked(f"http://127.0.0.1:{run.http}/readyz")
    return NodeView(
        name=run.name,
        pid=run.pid,
        since_ms=run.started_ns // 1_000_000,
        reached=checks is not None,
        checks=[
            CheckView(name=name, ok=bool(check.get("ok")), detail=str(check.get("detail", "")))
            for name, check in (checks or {}).items()
        ],
    )


def _asked(url: str) -> dict[str, dict[str, Any]] | None:
    """Checks by name; None when there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
            body = answer.read()
    except urllib.error.HTTPError as error:
        body = error.read()  # 503: not ready, and says why
    except OSError:
        return None
    try:
        checks = json.loads(body)["checks"]
    except (ValueError, KeyError, TypeError):
        return None
    return checks if isinstance(checks, dict) else None
