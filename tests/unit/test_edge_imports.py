"""The base install has no torch, and everything that runs at the edge works without it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

IMPORT_ALL = textwrap.dedent(
    """
    import importlib, importlib.util, pkgutil, sys

    BLOCKED = {"torch", "torchaudio", "torchvision", "matplotlib", "safetensors"}

    class Block:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in BLOCKED:
                raise ModuleNotFoundError(f"blocked: {name}", name=name.partition(".")[0])

    sys.meta_path.insert(0, Block())
    from pipeline.core.extras import EXTRAS

    def modules(name):
        package = importlib.import_module(name)
        yield name
        for found in pkgutil.walk_packages(getattr(package, "__path__", []), name + "."):
            yield found.name

    rooms = ["core", "plugins", "sources", "transport", "alignment", "recording", "sinks",
             "store", "config"]
    count = 0
    for name in [m for room in rooms for m in modules(f"pipeline.{room}")] + sys.argv[1:]:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name in BLOCKED or error.name not in EXTRAS:
                raise
        count += 1
    assert not BLOCKED & set(sys.modules), BLOCKED & set(sys.modules)
    print(count)
    """
)

NODES = (
    "nodes.cli",
    "nodes.logs",
    "nodes.health",
    "nodes.runner",
    "nodes.supervisor",
    "nodes.run",
    "nodes.capture",
    "nodes.alert",
    "nodes.commands.config",
    "nodes.commands.run",
    "nodes.commands.capture",
    "nodes.commands.alert",
    "nodes.commands.keys",
    "nodes.commands.record",
    "nodes.commands.recording",
    "nodes.commands.import_",
    "nodes.commands.export",
    "nodes.commands.init",
)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_every_edge_module_imports_without_torch() -> None:
    answer = python("-c", IMPORT_ALL, *NODES)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) > 30


def test_neither_help_nor_a_check_imports_what_is_heavy() -> None:
    for arguments in (["--help"], ["config", "check", "configs/many-sites.yaml"]):
        script = (
            "import sys\n"
            "from nodes.cli import run\n"
            f"code = run({arguments!r})\n"
            "heavy = {'torch', 'torchaudio', 'matplotlib', 'sqlalchemy', 'cv2', 'av'}\n"
            "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
        )
        answer = python("-c", script)
        last = answer.stderr.splitlines()[-1]
        assert last.startswith("0 "), answer.stderr
        assert "torch" not in last
        assert "matplotlib" not in last
        if arguments == ["--help"]:
            assert last == "0 []"


def test_a_capture_node_loads_no_codec_and_no_store_for_what_other_processes_read() -> None:
    """They are half of what such a node would weigh."""
    script = (
        "import sys\n"
        "import nodes.commands.capture\n"
        "import pipeline.sources.camera, pipeline.sources.media\n"
        "print(sorted({'cv2', 'av', 'sqlalchemy', 'mcap', 'torch'} & set(sys.modules)))\n"
    )
    answer = python("-c", script)
    assert answer.stdout == "[]\n", answer.stderr


def test_what_runs_beside_the_fusion_node_needs_no_torch() -> None:
    """The alert node, the page and a directory are an image, and a machine, without it."""
    script = (
        "import sys\n"
        "import nodes.commands.alert, nodes.commands.cluster, nodes.commands.events\n"
        "import nodes.dashboard.node\n"
        "print(sorted({'torch', 'torchaudio', 'matplotlib', 'ray'} & set(sys.modules)))\n"
    )
    answer = python("-c", script)
    assert answer.stdout == "[]\n", answer.stderr
