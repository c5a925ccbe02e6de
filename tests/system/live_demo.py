"""The demo, live: learnt and watched by its own code, with the same thing happening again soon.

`fusewatch demo` shows each kind of anomaly once in its minute. Here one sound comes every few
seconds, in a smaller picture, and the site is watched until it is stopped.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from nodes.demo import DemoOptions, learn, prepare
from pipeline.config import load_deployment
from pipeline.config.deployment import Deployment
from tests.waiting import wait_until

EVERY_S = 8.0
_START_S = 150.0  # seven seconds on a quiet machine
_SHIPPED = """\
          every_s: 9
          again_after: 7 # each of the seven kinds comes again as it was
"""
_HERE = f"""\
          every_s: {EVERY_S}
          first_s: 3
          duration_s: 2
          slack_s: 0
          kinds: [A]
          again_after: 1
        size: [320, 180]
"""


@contextmanager
def live_demo(folder: Path) -> Iterator[Deployment]:
    """The demo's deployment, learnt and running; its page answers."""
    options = DemoOptions(folder, learn_s=120.0)
    with patch.dict(os.environ):  # what is set for the demo is undone at the end
        os.environ["FUSEWATCH_DEMO_LOG_LEVEL"] = "info"
        config = prepare(options)
        shipped = config.read_text()
        assert _SHIPPED in shipped
        config.write_text(shipped.replace(_SHIPPED, _HERE))
        os.environ["FUSEWATCH_DEMO_SECONDS"] = ""
        deployment = load_deployment(config)
        learn(deployment, options, Console(quiet=True))
        with _running(config, deployment):
            yield deployment


@contextmanager
def _running(config: Path, deployment: Deployment) -> Iterator[None]:
    log = config.with_name("log.txt")
    command = [sys.executable, "-P", "-m", "nodes.cli", "run", str(config)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            wait_until((deployment.data / "run" / "dashboard.json").exists, _START_S)
            yield
        except BaseException:
            print(log.read_text())  # pytest shows it: what the processes did meanwhile
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
    assert code == 0, log.read_text()
