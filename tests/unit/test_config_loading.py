from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import (
    Deployment,
    Report,
    check_file,
    load,
    load_deployment,
    require_models,
    without_missing_models,
)
from pipeline.core.errors import ConfigError
from tests import outside_plugin

Write = Callable[..., Path]

GOOD = """\
name: home
nodes:
  hall:
    sources:
      - type: toy
        stream: cam
        url: rtsp://hall/live
scenes:
  hall:
    streams: [cam]
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a deployment file, in an environment where the toy plug-in is installed."""
    site = outside_plugin.unpack(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site))

    def write_file(text: str, name: str = "home.yaml") -> Path:
        file = tmp_path / name
        file.write_text(dedent(text), encoding="utf-8")
        return file

    return write_file


def source(deployment: Deployment, index: int = 0) -> Any:
    return deployment.nodes["hall"].sources[index]


def problems(file: Path, **environ: str) -> list[str]:
    return [str(problem) for problem in check_file(file, environ=environ).problems]


def warnings(file: Path, **environ: str) -> list[str]:
    report: Report = check_file(file, environ=environ)
    assert report.problems == ()
    return [str(warning) for warning in report.warnings]


def with_source(lines: str) -> str:
    return GOOD.replace(
        "        url: rtsp://hall/live\n",
        "".join(f"        {line}\n" for line in lines.splitlines()),
    )


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


# variables


def test_a_variable_is_read_as_the_number_it_is(write: Write) -> None:
    file = write(with_source("url: u\nport: ${PORT:-554}\nloud: ${LOUD:-true}\ndevice: ${CAM}"))
    found = source(load_deployment(file, environ={"PORT": "8554", "CAM": "2"}))
    assert (found.port, found.loud, found.device) == (8554, True, 2)
    assert source(load_deployment(file, environ={"CAM": "front"})).device == "front"


def test_a_password_of_digits_stays_text(write: Write) -> None:
    file = write(with_source("url: ${URL}\npassword: ${PASSWORD}"))
    found = source(load_deployment(file, environ={"URL": "007", "PASSWORD": "0123"}))
    assert found.url == "007"
    assert found.password.get_secret_value() == "0123"


def test_a_missing_variable_is_told_once(write: Write) -> None:
    file = write(with_source("url: ${TOY_URL:?write where the toy is}"))
    assert problems(file) == [
        "home.yaml:7: nodes.hall.sources[0].url: variable TOY_URL is not set: write where the "
        "toy is; export TOY_URL=..."
    ]


HOME = Path(__file__).parents[2] / "configs" / "home.yaml"


def test_a_missing_variable_brings_no_error_that_only_follows_from_it() -> None:
    (told,) = problems(HOME)
    assert told.partition(": ")[2] == (
        "nodes.house.sources[0].url: variable HOME_RTSP_URL is not set: the camera's address, "
        "such as rtsp://user:password@192.168.1.20/stream1; export HOME_RTSP_URL=..."
    )


def test_a_missing_secret_file_brings_no_error_that_only_follows_from_it(write: Write) -> None:
    file = write(HOME.read_text().replace("url: ${HOME_RTSP", "url_file: ${HOME_RTSP"))
    assert [line.split(": ")[1:3] for line in problems(file)] == [
        ["nodes.house.sources[0].url_file", "variable HOME_RTSP_URL is not set"]
    ]
    gone = problems(file, HOME_RTSP_URL="gone")
    assert len(gone) == 1
    assert "gone: No such file or directory; create the file" in gone[0]


def test_beside_a_missing_variable_other_errors_are_still_told(write: Write) -> None:
    text = HOME.read_text()
    for good, bad in (
        ("video: hall-camera", "vdeo: hall-camera"),
        ("port: ${HOME_MQTT_PORT:-1883}", "port: 70000"),
        ("max_gap_s: 300", "max_gap_s: soon"),
    ):
        assert good in text
        text = text.replace(good, bad)
    assert [line.split(": ")[1] for line in problems(write(text))] == [
        "nodes.house.sources[0].url",
        "nodes.house.sources[0].vdeo",
        "nodes.house.sources[2].port",
        "streams.hall-climate.max_gap_s",
    ]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("video: hall-camera", "audio: hall-camera\n        video: hall-camera", "need different"),
        ("streams: [hall-camera,", "streams: [hall-camra,", "no source gives a stream 'hall-cam"),
        ("listen: tcp://127.0.0.1:${HOME_FUSION_PORT:-7710}", "listen: here", "not an address"),
    ],
)
def test_beside_a_missing_variable_contradictions_are_still_told(
    write: Write, good: str, bad: str, message: str
) -> None:
    text = HOME.read_text()
    assert good in text
    found = problems(write(text.replace(good, bad)))
    assert len(found) == 2
    assert message in found[0] + found[1]


@pytest.mark.parametrize(
    "good",
    [
        "rtsp_transport: tcp",
        "video: hall-camera",
        "host: ${HOME_MQTT_HOST:-127.0.0.1}",
        "topic: ${HOME_MQTT_TOPIC:-home/hall/climate}",
        "name: hall-climate",
        "- type: microphone",
        "max_gap_s: 300",
        "window_s: 2",
        "streams: [hall-camera, hall-microphone, hall-climate]",
        "budget: ${HOME_BUDGET:-2/day}",
        "listen: tcp://127.0.0.1:${HOME_FUSION_PORT:-7710}",
        "model: ${HOME_DATA:-../out/home}/hall.model",
        "data: ${HOME_DATA:-../out/home}",
        "path: ${HOME_DATA:-../out/home}/events.jsonl",
    ],
)
def test_whatever_variable_is_missing_it_is_the_only_error(write: Write, good: str) -> None:
    text = HOME.read_text().replace(
        "        width: 640\n", "        width: 640\n        rtsp_transport: tcp\n"
    )
    text = text.replace("    alarm:\n", "    window_s: 2\n    alarm:\n")
    assert good in text
    bad = f"{good.partition(': ')[0]}: ${{GONE:?say it}}"
    report = check_file(write(text.replace(good, bad)), environ={"HOME_RTSP_URL": "rtsp://a/b"})
    told = [problem.message for problem in (*report.problems, *report.warnings) if problem.fatal]
    assert set(told) == {"variable GONE is not set: say it"}
    assert not any("unset" in str(warning) for warning in report.warnings)


def test_what_a_variable_holds_is_never_shown(write: Write) -> None:
    secret = "hunter2hunter2"
    file = write(with_source("url: bad${SECRET}\nport: ${SECRET}\nloud: ${SECRET}x"))
    text = "\n".join(problems(file, SECRET=secret))
    assert "port: should be a valid integer, got the value of SECRET" in text
    assert secret not in text
    text = "\n".join(problems(write(with_source("url: bad${SECRET}")), SECRET=secret))
    assert "bad*** is not a toy" in text
    text = "\n".join(problems(write(with_source("url: [x, '${SECRET}']")), SECRET=secret))
    assert "got ['x', '***']" in text


def test_passwords_in_the_file_are_never_shown(write: Write) -> None:
    file = write(with_source("url: bad://u:hunter2@x\npassword: [hunter2]"))
    assert "hunter2" not in "\n".join(problems(file))


def test_an_optional_item_is_left_out(write: Write) -> None:
    sinks = "alert:\n  sinks:\n    - {when: '${HOOK:-}', type: toy, url: '${HOOK}'}\n"
    file = write(GOOD + sinks)
    assert load_deployment(file, environ={}).alert.sinks == []
    assert len(load_deployment(file, environ={"HOOK": "http://x"}).alert.sinks) == 1


def test_passwords_are_known_so_that_logs_can_leave_them_out(write: Write) -> None:
    file = write(with_source("url: u\npassword: ${PASSWORD}"))
    assert load(file, environ={"PASSWORD": "12345"}).secrets == {"12345"}


# secrets from files


def test_any_text_may_come_from_a_file(write: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("  s3cret\n")
    secret.chmod(0o600)
    file = write(
        with_source("url_file: secret\npassword_file: ./secret\nlimits: {token_file: secret}")
    )
    loaded = load(file, environ={})
    found = source(loaded.deployment)
    assert found.url == found.limits.token == "s3cret"
    assert found.password.get_secret_value() == "s3cret"
    assert loaded.secrets == {"s3cret"}
    assert loaded.warnings == ()


def test_a_secret_that_everybody_can_read_is_a_warning(write: Write, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o600 | stat.S_IROTH)
    file = write(with_source("url: u\npassword_file: secret"))
    assert warnings(file) == [
        f"home.yaml:8: nodes.hall.sources[0].password_file: every user can read {secret}; "
        f"chmod 600 {secret}"
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("url: u\npassword_file: gone", "password_file: {folder}/gone: No such file"),
        ("url: u\npassword_file: site", "site: Is a directory"),
        ("url: u\npassword_file: binary", "binary: not UTF-8"),
        ("url: u\npassword_file: empty", "empty: empty"),
        ("url: u\npassword_file: [a]", "must be the path of a file"),
        ("url: u\nurl_file: empty", "'url' is given too"),
        ("url: u\nport_file: empty", "port_file: unknown key"),
        ("url: u\nfolder_file: empty", "folder_file: unknown key"),
    ],
)
def test_secret_files_that_cannot_be_used_are_refused(
    write: Write, tmp_path: Path, lines: str, message: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_bytes(b" \n")
    found = problems(write(with_source(lines)))
    assert message.format(folder=tmp_path) in "\n".join(found)
    assert all(line.startswith("home.yaml:8: ") for line in found)


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


def test_a_local_address_that_no_socket_can_have_is_refused(write: Write) -> None:
    file = write(GOOD + f"fusion: {{listen: 'ipc://{'x' * 110}'}}\n")
    assert "names a file whose path is longer than 107 bytes" in "\n".join(problems(file))


# checks


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "streams: [cam, cma]",
            "home.yaml:10: scenes.hall.streams[1]: no source gives a stream 'cma'; did you mean "
            "'cam'?",
        ),
        ("streams: [cam, cam]", "scenes.hall.streams[1]: stream 'cam' is listed twice"),
        (
            "streams: [cam]\n    hop_s: 3",
            "home.yaml:11: scenes.hall.hop_s: a hop of 3 s would skip time between windows of 2 "
            "s; write at most 2",
        ),
        (
            "streams: [cam]\nstreams: {cm: {}}",
            "home.yaml:11: streams.cm: options for stream 'cm', which no source gives; did you "
            "mean 'cam'?",
        ),
        ("streams: [cam]\nfusion: {listen: localhost}", "'localhost' is not an address"),
        ("streams: [cam]\nfusion: {alert: 'tcp://*:1'}", "nobody can connect to 'tcp://*:1'"),
        ("streams: [cam]\nfusion: {listen: 'tcp://a:99999'}", "a port that is not 1 to 65535"),
        ("streams: [cam]\nfusion: {listen: 'ipc://'}", "has no name after"),
        (
            "streams: [cam]\nalert: {http: '0.0.0.0:80'}",
            "alert.http: '0.0.0.0:80' can be reached from other machines",
        ),
        ("streams: [cam]\nalert: {http: x}", "'x' is not HOST:PORT"),
        (
            "streams: [cam]\nalert: {sinks: [{type: toy, url: a}, {type: toy, url: b}]}",
            "alert.sinks[1]: alert.sinks[0] is named 'toy' too; give each its own 'name'",
        ),
        (
            "streams: [cam]\nalert: {sinks: [{type: toy, url: a, scenes: [hal]}]}",
            "alert.sinks[0].scenes: there is no scene 'hal'; did you mean 'hall'?",
        ),
    ],
)
def test_contradictions_are_refused(write: Write, more: str, message: str) -> None:
    assert message in "\n".join(problems(write(GOOD.replace("streams: [cam]", more))))


def test_two_sources_must_not_give_one_stream(write: Write) -> None:
    file = write(
        GOOD.replace(
            "scenes:", "  yard:\n    sources:\n      - {type: toy, stream: cam, url: u}\nscenes:"
        )
    )
    assert problems(file) == [
        "home.yaml:10: nodes.yard.sources[0]: stream 'cam' is given by nodes.hall.sources[0] "
        "too; give one of them another name"
    ]


def test_a_stream_that_nobody_uses_is_a_warning(write: Write) -> None:
    file = write(GOOD.replace("scenes:", "      - {type: toy, stream: spare, url: u}\nscenes:"))
    assert warnings(file) == [
        "home.yaml:8: nodes.hall.sources[1]: no scene uses stream 'spare'; add it to the streams "
        "of a scene"
    ]


def test_a_missing_model_is_a_warning_until_it_is_needed(write: Write, tmp_path: Path) -> None:
    file = write(GOOD + "    model: site.model\n")
    assert "there is no file" in warnings(file)[0]
    deployment = load_deployment(file, environ={})
    with pytest.raises(ConfigError, match="the model is missing") as caught:
        require_models(deployment)
    assert "scenes.hall.model" in caught.value.problems[0]
    assert "--without-model" in caught.value.fix
    unlearnt, scenes = without_missing_models(deployment)
    assert (unlearnt.scenes["hall"].model, scenes) == (None, ("hall",))
    require_models(unlearnt)
    (tmp_path / "site.model").touch()
    assert without_missing_models(deployment) == (deployment, ())
    assert warnings(file) == []
    require_models(deployment)


def test_leaving_the_machine_unencrypted_is_a_warning(write: Write) -> None:
    remote = GOOD + "fusion: {listen: 'tcp://0.0.0.0:7710'}\n"
    assert "there is no folder" in warnings(write(remote))[0]
    assert (
        "leaves this machine without encryption"
        in warnings(write(remote + "security: {curve: off}\n"))[0]
    )


def test_http_for_other_machines_takes_a_token_and_a_certificate(write: Write) -> None:
    outside = "alert: {http: '*:9100'}\nsecurity:\n  http:\n    "
    rest = "certificate: a.crt\n    key: a.key\n"
    file = write(f"{GOOD}{outside}token_file: token.txt\n    {rest}")
    (file.parent / "token.txt").write_text("0123456789abcdef\n")
    http = load_deployment(file).security.http
    assert http is not None
    assert http.token.get_secret_value() == "0123456789abcdef"
    assert http.certificate == file.parent / "a.crt"
    assert "0123456789abcdef" in load(file).secrets
    (file.parent / "token.txt").write_text("short-one")
    with pytest.raises(ConfigError) as short:
        load(file)
    assert "security.http.token" in short.value.problems[0]
    assert "short-one" not in short.value.problems[0]
    with pytest.raises(ConfigError) as half:
        load(write(f"{GOOD}{outside}certificate: a.crt\n"))
    assert any("security.http.key" in problem for problem in half.value.problems)


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc://x"]
)
def test_addresses_of_this_machine_need_no_keys(write: Write, address: str) -> None:
    assert warnings(write(GOOD + f"fusion: {{listen: '{address}'}}\n")) == []


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
