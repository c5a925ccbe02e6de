from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.core.clock import ManualClock
from pipeline.core.errors import SinkRejected, SinkUnavailable
from pipeline.core.event import to_json
from pipeline.sinks.base import SinkContext
from pipeline.sinks.signature import signature
from pipeline.sinks.templates.base import Site, rfc3339
from pipeline.sinks.templates.plain import Plain
from pipeline.sinks.webhook import (
    WebhookSettings,
    WebhookSink,
    retry_after_s,
)
from tests.certificates import make_certificates
from tests.event_samples import event, life
from tests.http_receiver import HttpReceiver

NOW_S = 1_700_000_000


def sink_to(server: HttpReceiver, **settings: object) -> WebhookSink:
    made = WebhookSettings.model_validate({"url": server.url, "timeout_s": 10} | settings)
    return made.build(SinkContext(ManualClock(NOW_S * 10**9), "site", Path()))


@pytest.fixture
def server():
    with HttpReceiver() as started:
        yield started


def test_the_body_is_a_cloud_event_that_carries_the_event(server: HttpReceiver) -> None:
    sink = sink_to(server)
    sink.deliver(event(100))
    sink.close()
    (request,) = server.requests
    envelope = json.loads(request.body)
    data = envelope.pop("data")
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert envelope == {
        "specversion": "1.0",
        "id": event(100).key,
        "source": "/fusewatch/site/hall",
        "type": "org.fusewatch.event.raised",
        "subject": event(100).id,
        "time": "1970-01-01T00:01:41.000000000Z",
        "datacontenttype": "application/json",
    }
    assert data == json.loads(to_json(event(100)))


def test_phases_have_types_and_keys_of_their_own_and_one_subject() -> None:
    sent = [json.loads(Plain(Site("site")).event(each, 0)) for each in life()]
    assert [s["type"].rpartition(".")[2] for s in sent] == ["raised", "updated", "cleared"]
    assert len({s["id"] for s in sent}) == 3
    assert len({s["subject"] for s in sent}) == 1


def test_a_request_is_signed_so_that_a_receiver_can_check_it_by_hand(server) -> None:
    sink = sink_to(server, secret="top secret", headers={"X-Site": "7"})
    sink.deliver(event())
    sink.close()
    (request,) = server.requests
    assert request.headers["x-site"] == "7"
    assert request.headers["webhook-id"] == event().key
    assert request.headers["webhook-timestamp"] == str(NOW_S)
    signed = f"{event().key}.{NOW_S}.".encode() + request.body
    digest = hmac.new(b"top secret", signed, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_the_check_that_is_written_down_for_receivers_knows_the_genuine(
    server: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = (Path(__file__).parents[2] / "configs" / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", written, re.DOTALL)
    receiver: dict[str, Any] = {}
    exec(code, receiver)
    sink = sink_to(server, secret="top secret")
    sink.deliver(event())
    sink.close()
    (request,) = server.requests
    genuine, headers, body = receiver["is_genuine"], dict(request.headers), request.body
    monkeypatch.setattr(receiver["time"], "time", lambda: NOW_S + 10)
    assert genuine(b"top secret", headers, body)
    assert not genuine(b"other secret", headers, body)
    assert not genuine(b"top secret", headers, body + b" ")
    assert not genuine(b"top secret", headers | {"webhook-id": "other"}, body)
    monkeypatch.setattr(receiver["time"], "time", lambda: NOW_S + 301)
    assert not genuine(b"top secret", headers, body)


def test_a_standard_webhooks_secret_is_decoded_first() -> None:
    # The worked example of the Standard Webhooks reference libraries' tests.
    value = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert value == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_without_a_secret_there_is_no_signature(server: HttpReceiver) -> None:
    sink = sink_to(server)
    sink.deliver(event())
    sink.close()
    assert "webhook-signature" not in server.requests[0].headers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_taken(server: HttpReceiver, status: int) -> None:
    server.answer = lambda _: status
    sink = sink_to(server)
    sink.deliver(event())
    sink.close()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_receiver_that_says_later_is_unavailable(server: HttpReceiver, status: int) -> None:
    server.answer = lambda _: status
    server.headers = {"Retry-After": "17"}
    sink = sink_to(server)
    with pytest.raises(SinkUnavailable, match=str(status)) as caught:
        sink.deliver(event())
    assert caught.value.retry_after_s == 17
    sink.close()


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 410, 413, 422])
def test_anything_else_is_a_rejection_and_redirects_are_not_followed(server, status) -> None:
    server.answer = lambda _: status
    server.headers = {"Location": server.url}
    sink = sink_to(server)
    with pytest.raises(SinkRejected, match=str(status)):
        sink.deliver(event())
    sink.close()
    assert len(server.requests) == 1


def test_a_refusal_whose_reason_cannot_be_read_is_one_all_the_same(server) -> None:
    server.answer, server.said = lambda _: 400, b"no gzip"
    server.headers = {"Content-Encoding": "gzip"}
    sink = sink_to(server)
    with pytest.raises(SinkRejected, match="400 Bad Request"):
        sink.deliver(event())
    sink.close()


def test_a_certificate_is_checked_against_the_given_authority(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    with HttpReceiver(tls=made) as server:
        stranger = sink_to(server)
        with pytest.raises(SinkUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.deliver(event(0))
        for number, trust in enumerate(({"ca_file": made.certificate}, {"insecure": True})):
            sink = sink_to(server, **trust)
            sink.deliver(event(number))
            sink.close()
        stranger.close()
        assert [r.key for r in server.accepted] == [event(0).key, event(1).key]


def test_an_unreadable_authority_is_reported(server: HttpReceiver, tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match="ca_file"):
        sink_to(server, ca_file=tmp_path / "none.pem").open()


def test_errors_name_the_host_and_nothing_secret(server: HttpReceiver) -> None:
    server.answer = lambda _: 400
    url = f"http://me:pass-w0rd@127.0.0.1:{server.port}/hook/tok3n?key=tok3n"
    sink = sink_to(server, url=url)
    with pytest.raises(SinkRejected) as caught:
        sink.deliver(event())
    sink.close()
    assert f"http://127.0.0.1:{server.port}" in str(caught.value)
    assert "tok3n" not in str(caught.value)
    assert "pass-w0rd" not in str(caught.value)
    assert server.requests[0].path == "/hook/tok3n?key=tok3n"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "ftp://host/"}, "http:// or https://"),
        ({"url": "not an address"}, "http:// or https://"),
        ({"url": "http://h/", "secret": ""}, "must not be empty"),
        ({"url": "http://h/", "secret": "whsec_&&&"}, "must be base64"),
    ],
)
def test_unusable_settings_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        WebhookSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("-5", 0.0),
        ("99999999", 3600.0),
        ("soon", None),
        ("nan", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_bounded(header, seconds) -> None:
    assert retry_after_s(header, NOW_S * 10**9) == seconds


def test_times_keep_their_nanoseconds() -> None:
    assert rfc3339(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456789Z"
