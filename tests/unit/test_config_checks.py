"""What is right by itself and does not fit together in a deployment file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import load, load_deployment, require_models, without_missing_models
from pipeline.core.errors import ConfigError
from tests.deployment_files import GOOD, Write, problems, warnings, writing
from tests.requirements import require_module


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    return writing(tmp_path, monkeypatch)


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


SENSORS = {
    "mqtt": "type: mqtt, host: h, streams: [{name: t, topic: a, channels: [{name: heat}]}]",
    "serial": "type: serial_port, port: /dev/ttyUSB0, stream: t, channels: [{name: heat}]",
    "columns": "type: csv_file, path: a.csv, stream: t, columns: [heat]",
    "any column": "type: csv_file, path: a.csv, stream: t",
}


@pytest.mark.parametrize("kind", SENSORS)
def test_options_of_a_channel_that_the_stream_does_not_have_are_a_warning(
    write: Write, kind: str
) -> None:
    require_module("paho")
    require_module("serial")
    options = "{channel_range: {haet: [0, 9]}, channel_interpolation: {heat: none, x: none}}"
    file = write(
        f"name: s\nnodes: {{a: {{sources: [{{{SENSORS[kind]}}}]}}}}\n"
        f"streams:\n  t: {options}\nscenes: {{s: {{streams: [t]}}}}\n"
    )
    expected = [
        "home.yaml:4: streams.t.channel_interpolation.x: 't' has no channel 'x'; "
        "write one of: heat",
        "home.yaml:4: streams.t.channel_range.haet: 't' has no channel 'haet'; "
        "did you mean 'heat'?",
    ]
    assert warnings(file) == ([] if kind == "any column" else expected)


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
