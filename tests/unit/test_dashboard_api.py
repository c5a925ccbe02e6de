"""The page's API, asked whatever its own description allows, and more.

Schemathesis makes the requests from the served description and judges the answers by it: no
failure of ours, no status, header, type or body that is not described, wrong data refused, and
nothing without the token.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode

from nodes.dashboard.access import Access
from nodes.dashboard.app import Desk, build_app
from nodes.dashboard.door import LONGEST_BODY
from nodes.dashboard.live_feed import LiveFeed
from nodes.dashboard.records import Records
from pipeline.core.clock import ManualClock
from tests.watched_site import SECOND_NS, happened, remembered, watched_deployment

TOKEN = "a-token-nobody-guesses"
LOGIN = {"authorization": f"Bearer {TOKEN}"}
NOW_S = 1_700_000_400
ENDLESS = "/api/live"
FILES = [
    "/evidence/{event_id}/{name}",
    "/api/scenes/{scene}/pictures/{stream}",
    "/api/scenes/{scene}/normal/{stream}/{at_ms}",
    "/api/events/{event_id}/bundle.zip",
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    deployment = watched_deployment(tmp_path)
    clock = ManualClock(NOW_S * SECOND_NS)
    records, feed = Records(deployment, clock), LiveFeed(deployment.data)
    yield Desk(deployment, Access(TOKEN, clock), records, feed, False, ("testserver",))
    feed.close()
    records.close()


@pytest.fixture
def client(desk: Desk) -> Iterator[TestClient]:
    with TestClient(build_app(desk), follow_redirects=False) as made:
        yield made


class Login:
    """Brings the token; Schemathesis also asks without it, and with a wrong one."""

    def get(self, _case: Case, _context: object) -> str:
        return f"Bearer {TOKEN}"

    def set(self, case: Case, data: str, _context: object) -> None:
        case.headers["authorization"] = data


def known_names(desk: Desk) -> dict[str, Any]:
    """Names of what there is, for the places of them in paths."""
    (raised, *_) = happened(desk.deployment, NOW_S - 60)
    remembered(desk.deployment, range(NOW_S // 60 - 60, NOW_S // 60))
    return {
        "scene": "hall",
        "event_id": raised.id,
        "stream": "cam",
        "name": "snapshot.jpg",
        "position": 1,
    }


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("names", ["any", "known"])
def test_whatever_is_asked_the_api_answers_as_it_says(
    desk: Desk, mode: GenerationMode, names: str
) -> None:
    known = known_names(desk)
    schema = schemathesis.openapi.from_asgi("/openapi.json", build_app(desk), headers=LOGIN)
    schema.auth()(Login)
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == ENDLESS:
            continue
        fixed = {p.name: known[p.name] for p in operation.path_parameters if p.name in known}
        if names == "known" and not fixed:
            continue

        @settings(
            max_examples=6 if names == "any" else 5,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            operation.as_strategy(
                generation_mode=mode,
                auth_storage=schema.auth,
                path_parameters=fixed if names == "known" else None,
            )
        )
        def answers(case: Case) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate()

        answers()
    assert asked > 30


def paths(client: TestClient) -> dict[str, dict[str, Any]]:
    return client.get("/openapi.json", headers=LOGIN).json()["paths"]


def test_a_stranger_learns_nothing_not_even_what_there_is(client: TestClient) -> None:
    said = {"detail": "log in first"}
    asked = [(m, path) for path, methods in paths(client).items() for m in methods]
    asked += [("get", p) for p in ("/openapi.json", "/docs", "/redoc", "/no/such", "/evidence/")]
    asked += [("put", "/api/scenes"), ("post", "/api/events/x/answers")]
    for method, path in asked:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": "fusewatch_session=x.y"}):
            answer = client.request(method, path, headers=headers, content=b"{")
            assert (answer.status_code, answer.json()) == (401, said), path
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_stranger_finds_the_login_and_what_it_looks_like(client: TestClient) -> None:
    assert client.get("/login").status_code == 200
    assert client.get("/").headers["location"] == "/login"
    assert client.get("/static/../openapi.json").status_code == 401
    assert client.get("/static/..%2fapp.py").status_code == 404


def test_a_body_that_does_not_fit_is_not_read(client: TestClient, desk: Desk) -> None:
    path = f"/api/events/{known_names(desk)['event_id']}/answers"
    long = b'{"action": "note", "note": "' + b"x" * LONGEST_BODY + b'"}'
    assert client.post(path, content=long, headers=LOGIN).status_code == 413
    assert client.post(path, content=iter([b"{}"]), headers=LOGIN).status_code == 411
    lies = LOGIN | {"content-length": "-1"}
    assert client.post(path, content=b"{}", headers=lies).status_code == 413
    assert client.post(path, json={"action": "seen"}, headers=LOGIN).status_code == 201


MOST_MS = 2**63 // 1_000_000


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/answers/9223372036854775807", 404),
        ("/api/answers/9223372036854775808", 422),
        ("/api/answers/-1", 422),
        (f"/api/events?since_ms={MOST_MS - 1}&until_ms={MOST_MS - 1}", 200),
        (f"/api/events?since_ms={MOST_MS}", 422),
        (f"/api/scenes/hall/history?from_ms=0&to_ms={MOST_MS - 1}", 200),
        (f"/api/scenes/hall/history?from_ms={MOST_MS - 1}&to_ms=0", 200),
        (f"/api/scenes/hall/pictures/cam?index={'9' * 40}", 404),
        ("/api/events/%00", 404),
        ("/api/events/%ED%A0%80", 404),
        ("/api/events?scene=%00", 200),
        ("/evidence/%00/a.jpg", 422),
        ("/evidence/{event_id}/%00", 422),
        (f"/evidence/{{event_id}}/{'n' * 5000}", 422),
        ("/evidence/{event_id}/%ED%A0%80", 422),
    ],
)
def test_the_hardest_names_and_numbers_are_answered(
    client: TestClient, desk: Desk, path: str, status: int
) -> None:
    asked = path.replace("{event_id}", known_names(desk)["event_id"])
    method = "delete" if "/answers/" in path else "get"
    assert client.request(method, asked, headers=LOGIN).status_code == status


def test_every_route_says_what_it_gives_and_what_can_go_wrong(client: TestClient) -> None:
    for path, methods in paths(client).items():
        for method, operation in methods.items():
            responses = operation["responses"]
            assert operation["description"], path
            assert "401" in responses and ("404" in responses) == ("{" in path), path
            (good,) = [code for code in responses if code.startswith("2")]
            schema = responses[good]["content"].get("application/json", {}).get("schema")
            assert schema or path in (*FILES, ENDLESS), f"{method} {path} is not typed"
