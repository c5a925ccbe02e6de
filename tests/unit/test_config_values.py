"""What a deployment file takes from variables and files of secrets, and what it never shows."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipeline.config import check_file, load, load_deployment
from tests.deployment_files import GOOD, Write, problems, source, warnings, with_source, writing


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    return writing(tmp_path, monkeypatch)


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
        ("url: u\npassword_file: ~nobody_here/x", "no home folder is known for '~nobody_here'"),
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
