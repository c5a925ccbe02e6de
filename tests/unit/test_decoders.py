"""Types are known to msgspec before threads decode them: to learn one in two at once is fatal."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-7)
from pipeline.core.event import from_json, to_json
from pipeline.core.answered import answer_of
from tests.event_samples import event

body, start = to_json(event()), threading.Barrier(8)

def read():
    start.wait()
    from_json(body), answer_of(body)

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
PREPARED = {"pipeline/models/tensor_file.py", "pipeline/models/network_verdict.py"}
"""Where the type is made known when the module is imported, and then named."""


def names_a_type(call: ast.Call) -> bool:
    called = ast.unparse(call.func)
    typed = any(keyword.arg == "type" for keyword in call.keywords)
    return called == "msgspec.convert" or (
        called in ("msgspec.json.decode", "msgspec.msgpack.decode") and typed
    )


def test_types_are_known_when_modules_are_imported() -> None:
    found = set()
    for path in [p for folder in ("pipeline", "nodes") for p in (ROOT / folder).rglob("*.py")]:
        calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
        if any(names_a_type(call) for call in calls):
            found.add(str(path.relative_to(ROOT)))
    assert found == PREPARED


def test_threads_may_read_their_first_event_at_once() -> None:
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", AT_ONCE], cwd=ROOT, check=False)
        assert done.returncode == 0
