"""A deployment file is read whole, and everything wrong in it is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import check_file, load_deployment
from pipeline.core.errors import ConfigError
from tests.deployment_files import GOOD, Write, problems, source, with_source, writing


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    return writing(tmp_path, monkeypatch)


def test_a_good_file_loads_with_the_plug_ins_own_settings(write: Write) -> None:
    deployment = load_deployment(write(GOOD), environ={})
    assert type(source(deployment)).__name__ == "ToySource"
    assert source(deployment).url == "rtsp://hall/live"
    assert deployment.stream("cam").on_full == "drop_oldest"


def test_the_worked_example_of_an_unknown_key_names_line_path_and_fix(write: Write) -> None:
    file = write(GOOD.replace("url:", "urll:"))
    assert problems(file) == [
        "home.yaml:5: nodes.hall.sources[0].url: missing; write 'url: ...' (where the toy is)",
        "home.yaml:7: nodes.hall.sources[0].urll: unknown key; did you mean 'url'?",
    ]


def test_all_problems_are_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    file = write(
        """\
        name: Home!
        nodes:
          hall:
            sources:
              - {type: toy, stream: cam, url: x, port: many}
              - {type: toyy}
              - {stream: s}
              - 5
            bufer_mb: 1
        scenes:
          hall: {streams: [cam], window_s: '${GONE}', alarm: {budget: often}}
        alert:
          sinks:
            - {type: toy, url: [1], timeout_s: -1}
        security: {curve: of}
        """
    )
    found = problems(file)
    assert [line.split(": ")[:2] for line in found] == [
        ["home.yaml:1", "name"],
        ["home.yaml:5", "nodes.hall.sources[0].port"],
        ["home.yaml:6", "nodes.hall.sources[1].type"],
        ["home.yaml:7", "nodes.hall.sources[2].type"],
        ["home.yaml:8", "nodes.hall.sources[3].type"],
        ["home.yaml:9", "nodes.hall.bufer_mb"],
        ["home.yaml:11", "scenes.hall.window_s"],
        ["home.yaml:11", "scenes.hall.alarm.budget"],
        ["home.yaml:14", "alert.sinks[0].timeout_s"],
        ["home.yaml:14", "alert.sinks[0].url"],
        ["home.yaml:15", "security.curve"],
    ]
    text = "\n".join(found)
    assert "should be a valid integer, got 'many'; port: Port of the toy." in text
    assert "no sources of type 'toyy'; did you mean 'toy'?" in text
    assert "write 'type: KIND', one of:" in text
    assert "did you mean 'buffer_mb'?" in text
    assert "write for example 2/week or 6/hour" in text
    assert "'of' is not allowed; did you mean 'off'?" in text


def test_an_error_lists_every_problem(write: Write) -> None:
    file = write(GOOD + "typo: 1\nother: 2\n")
    with pytest.raises(ConfigError) as caught:
        load_deployment(file, environ={})
    assert len(caught.value.problems) == 2
    assert str(caught.value) == f"{file}: 2 problems"
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "home.yaml:1: the file is empty"),
        ("- a\n", "must be a mapping"),
        ("just words\n", "must be a mapping"),
        ("name: a\nnodes: [\n", "home.yaml:3: not valid YAML"),
        ("name: a\nnodes: 5\nscenes: {}\n", "home.yaml:2: nodes: should be a valid mapping"),
        ("name: {a: ${B}}\n", "between braces write '${NAME}' in quotes"),
        ("nodes: {a: {sources: 5}}\n", "nodes.a.sources: should be a valid list"),
        ("nodes: {a: {sources: []}}\n", "at least 1 item"),
        ("nodes: {a: null}\n", "nodes.a: should be a valid mapping"),
        ("nodes: {'A b': {sources: [{type: toy, stream: s, url: u}]}}\n", "name 'A b' may hold"),
        ("alert: [1]\n", "alert: should be a valid mapping"),
    ],
)
def test_files_of_the_wrong_shape_are_refused(write: Write, text: str, message: str) -> None:
    assert message in "\n".join(problems(write(text)))


def test_kinds_that_cannot_be_used_say_why(write: Write) -> None:
    assert "'broken_toy' of package 'fusewatch-toy' cannot be loaded" in "\n".join(
        problems(write(GOOD.replace("type: toy", "type: broken_toy")))
    )
    assert "'odd_toy' is not a SourceSettings" in "\n".join(
        problems(write(GOOD.replace("type: toy", "type: odd_toy")))
    )
    assert "no sources of type 'base'" in "\n".join(
        problems(write(GOOD.replace("type: toy", "type: base")))
    )


def test_a_union_is_told_once_without_its_branches(write: Write) -> None:
    file = write(with_source("url: u\ndevice: [1]"))
    assert problems(file) == [
        "home.yaml:8: nodes.hall.sources[0].device: should be a valid integer, got [1], or "
        "should be a valid string, got [1]; device: Which toy, by number or name."
    ]


def test_nested_settings_are_told_with_their_own_keys(write: Write) -> None:
    file = write(with_source("url: u\nlimits: {lo: 1}\nmore:\n  - {low: .nan}"))
    assert problems(file) == [
        "home.yaml:8: nodes.hall.sources[0].limits.lo: unknown key; did you mean 'low'?",
        "home.yaml:10: nodes.hall.sources[0].more[0].low: should be a finite number, got nan; "
        "low: Lowest value.",
    ]


# paths


def test_relative_paths_start_from_the_folder_of_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    write(with_source("url: u\nlimits: {file: a/b}\nmore: [{file: /abs}, {file: ~/x}]"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", "/home/me")
    deployment = load_deployment(Path("../home.yaml"), environ={})
    found = source(deployment)
    assert found.folder == tmp_path / "toys"
    assert found.limits.file == tmp_path / "a" / "b"
    assert [limits.file for limits in found.more] == [Path("/abs"), Path("/home/me/x")]
    assert deployment.data == tmp_path / "data"
    assert deployment.security.keys == tmp_path / "keys"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///events.db", "sqlite:///{folder}/events.db"),
        ("sqlite:///../x.db?timeout=5", "sqlite:///{above}/x.db?timeout=5"),
        ("sqlite+pysqlite:///a/b.db", "sqlite+pysqlite:///{folder}/a/b.db"),
        ("sqlite:////abs/events.db", "sqlite:////abs/events.db"),
        ("sqlite:///~/e.db", "sqlite:////home/me/e.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///file:e.db?uri=true", "sqlite:///file:e.db?uri=true"),
        ("sqlite://", "sqlite://"),
        ("postgresql://u:p@h/events.db", "postgresql://u:p@h/events.db"),
        ("ipc://run/link", "ipc://{folder}/run/link"),
        ("ipc:///run/link", "ipc:///run/link"),
        ("ipc://@link", "ipc://@link"),
        ("events.db", "events.db"),
    ],
)
def test_files_in_urls_start_from_the_folder_of_the_file_too(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, meant: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    file = write(with_source(f"url: {written!r}\npassword: {written!r}"))
    found = source(load_deployment(file, environ={}))
    expected = meant.format(folder=tmp_path, above=tmp_path.parent)
    assert (found.url, found.password.get_secret_value()) == (expected, expected)


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("url: u\nmore: [{file: ~nobody_here/x}]", "more[0].file"),
        ("url: 'sqlite:///~nobody_here/x'", "url"),
    ],
)
def test_a_home_folder_that_nobody_has_is_refused(write: Write, lines: str, place: str) -> None:
    (found,) = problems(write(with_source(lines)))
    assert found == (
        f"home.yaml:{7 + place.count('.')}: nodes.hall.sources[0].{place}: "
        "no home folder is known for '~nobody_here'; write the whole path"
    )


def test_a_local_address_that_no_socket_can_have_is_refused(write: Write) -> None:
    file = write(GOOD + f"fusion: {{listen: 'ipc://{'x' * 110}'}}\n")
    assert "names a file whose path is longer than 107 bytes" in "\n".join(problems(file))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_file_with_one_line_damaged_is_refused_or_loads(
    write: Write, data: st.DataObject
) -> None:
    lines = GOOD.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = data.draw(st.text(alphabet=" -:ab{}[]&*!'\"$05.#", max_size=20))
    report = check_file(write("\n".join(lines)), environ={})
    assert (report.loaded is None) == bool(report.problems)
    assert all(problem.line > 0 for problem in report.problems)
