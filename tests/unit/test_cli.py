from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import structlog

from nodes import cli, commands
from pipeline.core.errors import ConfigError, SourceUnavailable

GOOD = """\
name: home
nodes:
  hall:
    sources:
      - {type: csv_file, stream: climate, path: x.csv}
scenes:
  hall: {streams: [climate]}
"""

COMMAND = '''"""Does a little toy thing.

And more.
"""

import typer

from pipeline.core.errors import ConfigError, SourceUnavailable


def register(app):
    app.command(name="toy-thing")(toy)


def toy(what: str, count: int = 1):
    """Toys."""
    if what == "config":
        raise ConfigError("2 problems", where="a.yaml", problems=("a.yaml:1: x", "a.yaml:2: y"))
    if what == "camera":
        raise SourceUnavailable("no camera at rtsp://u:hunter2@cam", where="cam", fix="plug it in")
    if what == "bug":
        raise RuntimeError("rtsp://u:hunter2@cam broke")
    if what == "lacking":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    if what == "interrupt":
        raise KeyboardInterrupt
    if what == "pipe":
        raise BrokenPipeError
    if what == "exit":
        raise typer.Exit(count)
    print(what * count)
'''


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("FUSEWATCH_DEBUG", "FUSEWATCH_LOG_LEVEL", "FUSEWATCH_LOG_FORMAT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    yield
    structlog.reset_defaults()


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A further command file, ``toy_thing.py``."""
    (tmp_path / "toy_thing.py").write_text(COMMAND)
    (tmp_path / "_hidden.py").write_text('"""Not a command."""')
    (tmp_path / "__init__.py").touch()
    monkeypatch.setattr(cli, "COMMANDS", tmp_path)
    monkeypatch.setattr(commands, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "nodes.commands.toy_thing", raising=False)
    importlib.invalidate_caches()
    return tmp_path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def typed(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        out = capsys.readouterr()
        return code, out.out, out.err

    return typed


def test_help_lists_every_command_with_one_line_and_imports_none(run: Run, toy: Path) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "toy-thing" in out
    assert "Does a little toy thing." in out
    assert "And more." not in out
    assert "hidden" not in out
    assert "nodes.commands.toy_thing" not in sys.modules


def test_the_typed_command_is_imported_and_run(run: Run, toy: Path) -> None:
    assert run("toy-thing", "ab", "--count", "2") == (0, "abab\n", "")
    code, out, _ = run("toy-thing", "--help")
    assert code == 0
    assert "Toys." in out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["toy-thin"],
        ["toy-thing"],
        ["toy-thing", "x", "--count", "y"],
        ["--nonsense"],
        ["--log-level", "loud", "toy-thing", "x"],
    ],
)
def test_wrong_usage_exits_with_64(run: Run, toy: Path, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert code == 64
    assert out + err


def test_a_misspelt_command_is_guessed(run: Run, toy: Path) -> None:
    assert "toy-thing" in run("toy-thin")[2]


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [
        ("config", 78, "error: a.yaml: 2 problems\n  a.yaml:1: x\n  a.yaml:2: y\n"),
        ("camera", 69, "error: cam: no camera at rtsp://***@cam (plug it in)\n"),
        ("interrupt", 130, ""),
        ("exit", 7, ""),
    ],
)
def test_errors_are_told_and_have_their_exit_code(
    run: Run, toy: Path, what: str, code: int, told: str
) -> None:
    assert run("toy-thing", what, "--count", "7") == (code, "", told)


def test_what_an_edge_machine_lacks_is_no_fault_of_fusewatch(run: Run, toy: Path) -> None:
    code, _, err = run("toy-thing", "lacking")
    assert code == 69
    assert "'torch', which is not installed here" in err
    assert "install" in err.splitlines()[-1]
    assert "fault of fusewatch" not in err


def test_an_unexpected_error_has_its_traceback_only_when_asked(run: Run, toy: Path) -> None:
    code, _, err = run("toy-thing", "bug")
    assert code == 70
    assert "error: unexpected RuntimeError: rtsp://***@cam broke" in err
    assert "Traceback" not in err
    code, _, err = run("--debug", "toy-thing", "bug")
    assert code == 70
    assert "Traceback" in err
    assert "hunter2" not in err


def test_the_version_is_that_of_the_package(run: Run) -> None:
    import pipeline

    assert run("--version") == (0, f"fusewatch {pipeline.__version__}\n", "")


def test_every_shipped_command_registers_under_its_own_name(run: Run) -> None:
    for name, file in cli.command_files().items():
        assert cli.first_line(file), file
        tree = ast.parse(file.read_text("utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert "register" in functions, file
        assert cli.load_command(file, name).name == name


def test_rubbish_is_looked_for_again_once_a_command_is_imported_and_not_among_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_for: list[bool] = []
    real = importlib.import_module

    def seen(name: str) -> ModuleType:
        looked_for.append(gc.isenabled())
        if len(looked_for) > 1:
            raise ModuleNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", seen)
    name, file = next(iter(cli.command_files().items()))
    cli.load_command(file, name)
    assert not any(one is cli.app for one in gc.get_objects())
    with pytest.raises(ModuleNotFoundError):
        cli.load_command(file, name)
    assert looked_for == [False, False]
    assert gc.isenabled()


def test_main_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0


def test_a_process_takes_no_thread_of_every_core(tmp_path: Path) -> None:
    told = (
        "import atexit, sys; from nodes.cli import main\n"
        "def tell():\n"
        "    import cv2, numpy, os\n"
        "    print(cv2.getNumThreads(), len(os.listdir('/proc/self/task')), file=sys.stderr)\n"
        "atexit.register(tell); main(['--version'])"
    )
    free = {k: v for k, v in os.environ.items() if k not in cli.ONE_THREAD}
    command = [sys.executable, "-c", told]
    said = subprocess.run(
        command, env=free, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert said.stderr.split() == ["1", "1"]


def test_our_errors_are_told_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    cli.report(ConfigError("wrong", where="a.yaml:1", fix="write it right"))
    cli.report(SourceUnavailable("gone"))
    assert capsys.readouterr().err == "error: a.yaml:1: wrong (write it right)\nerror: gone\n"


# fusewatch config


def test_config_check_sums_up_a_good_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "home.yaml"
    file.write_text(GOOD + "  yard: {streams: [climate], model: gone.model}\n")
    code, out, err = run("config", "check", str(file))
    assert (code, out) == (0, f"{file}: OK, home: 1 node, 1 source, 1 stream, 2 scenes, 0 sinks\n")
    assert err.startswith("warning: home.yaml:8: scenes.yard.model: there is no file")


def test_config_check_lists_all_problems(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "home.yaml"
    file.write_text(GOOD.replace("path:", "pth:") + "typo: 1\n")
    code, out, err = run("config", "check", str(file))
    assert (code, out) == (78, "")
    assert err.splitlines() == [
        "error: home.yaml:5: nodes.hall.sources[0].path: missing; write 'path: ...' (the file)",
        "error: home.yaml:5: nodes.hall.sources[0].pth: unknown key; did you mean 'path'?",
        "error: home.yaml:8: typo: unknown key; write one of: alert, budget, dashboard, "
        "data, engine, feedback, fusion, incidents, retention, security, streams",
        f"{file}: 3 problems",
    ]


def test_config_check_speaks_json(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "home.yaml"
    file.write_text(GOOD)
    code, out, _ = run("config", "check", str(file), "--json")
    data: dict[str, Any] = json.loads(out)
    assert (code, data["ok"], data["name"], data["counts"]["streams"]) == (0, True, "home", 1)
    file.write_text(GOOD + "typo: 1\n")
    code, out, _ = run("config", "check", str(file), "--json")
    (problem,) = json.loads(out)["problems"]
    assert (code, problem["line"], problem["path"]) == (78, 8, "typo")
    code, out, _ = run("config", "check", str(tmp_path / "gone.yaml"), "--json")
    assert (code, json.loads(out)["problems"][0]["message"]) == (78, "no such file")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"a: [", b"x" * ((1 << 20) + 1)])
def test_config_check_refuses_bad_files(run: Run, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "home.yaml"
    file.write_bytes(content)
    code, out, err = run("config", "check", str(file))
    assert (code, out) == (78, "")
    assert "home.yaml" in err
    assert err.endswith(": 1 problem\n")


def test_config_schema_prints_json(run: Run) -> None:
    code, out, _ = run("config", "schema")
    assert code == 0
    assert json.loads(out)["title"] == "A fusewatch deployment"
