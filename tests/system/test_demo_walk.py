"""Somebody who has never seen fusewatch, alone with the page of the running demo.

They say what happened, when, why it was raised and whether it is real, and make the same thing
not alarm again; then they take that back. What the page foretells is what a replay gives.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nodes.demo import read_events
from nodes.exemptions import Exemption, worst
from nodes.places import answer_store
from nodes.replay import replay
from nodes.withholding import Rules
from pipeline.config.deployment import Deployment
from pipeline.core.event import Event
from tests.command_line import fusewatch
from tests.system.browser import DESKTOP, PHONE, Browser
from tests.system.live_demo import live_demo
from tests.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SHOTS = os.environ.get("FUSEWATCH_SCREENSHOTS")
"""A folder for pictures of every step, for people to look at; none: no pictures."""

_LONG_S = 90.0  # the machine may be busy


class Visitor:
    """Somebody at the page."""

    def __init__(self, browser: Browser, deployment: Deployment) -> None:
        self.browser = browser
        self.deployment = deployment
        listen = deployment.dashboard.listen if deployment.dashboard else ""
        self._address = f"http://{listen}/"

    def log_in(self) -> None:
        token = (self.deployment.data / "dashboard-token").read_text().strip()
        self.browser.driver.get(f"{self._address}login#{token}")
        self.browser.click("Log in")

    def go(self, view: str) -> None:
        self.browser.driver.get(f"{self._address}#/{view}")

    def look(self, step: str) -> None:
        """The page holds on every screen: nothing sticks out, and nothing is in the way."""
        for size, name in ((DESKTOP, "desktop"), (PHONE, "phone")):
            for dark in (False, True):
                with self.browser.looking(size, dark=dark):
                    wait_until(lambda: not self.browser.wide())
                    if dark == (size == PHONE):
                        assert self.browser.barriers() == [], (step, name, dark)
                if SHOTS:
                    file = Path(SHOTS) / f"{step}-{name}-{'dark' if dark else 'light'}.png"
                    self.browser.photograph(file, size, dark=dark)

    def sent(self) -> set[str]:
        """Ids of the events that reached the demo's file."""
        return {event.id for event in read_events(self.deployment.data / "events.jsonl")}

    def newest(self, known: set[str]) -> str:
        """Id of the next event of the list that is not known yet, once it is there."""
        found: list[str] = []

        def there() -> bool:
            links = [str(one.get_attribute("href")) for one in self.browser.find("a.event")]
            found[:] = [link.rpartition("/")[2] for link in links]
            return bool(set(found) - known)

        wait_until(lambda: self.browser.quietly(there), _LONG_S)
        return next(one for one in found if one not in known)


@pytest.fixture
def visitor(tmp_path: Path) -> Iterator[Visitor]:
    with (
        live_demo(tmp_path / "demo") as deployment,
        closing(Browser(tmp_path / "profile")) as browser,
    ):
        yield Visitor(browser, deployment)
        assert browser.complaints() == []


def test_somebody_new_understands_an_alarm_and_makes_the_same_not_come_again(
    visitor: Visitor, capsys: pytest.CaptureFixture[str]
) -> None:
    page = visitor.browser
    visitor.log_in()
    sees_the_scene_live(visitor)
    first = opens_the_first_alarm(visitor)
    reads_what_when_and_why(visitor)
    plays_the_clip(visitor)
    says_that_it_is_normal(visitor)
    known = {first, *visitor.sent()}
    second = sees_it_held_back(visitor, known)
    takes_it_back(visitor)
    visitor.go("events")
    third = visitor.newest({*known, second})
    wait_until(lambda: third in visitor.sent())
    assert second not in visitor.sent()
    page.sees("going on|over")
    foretold_is_what_a_replay_gives(visitor.deployment, first, capsys)


def sees_the_scene_live(visitor: Visitor) -> None:
    page = visitor.browser
    page.sees(r"live.*score \d")
    visitor.look("1-scenes")
    page.click("site")
    page.sees("as usual here|not normal here")
    wait_until(lambda: page.run("return document.querySelector('img.picture').naturalWidth"))
    for css in ("canvas[aria-label^=spectrogram]", "canvas[aria-label^=readings]"):
        wait_until(lambda css=css: page.painted(css))
    wait_until(lambda: page.painted(".uplot canvas"))
    page.sees("Latest events")


def opens_the_first_alarm(visitor: Visitor) -> str:
    event_id = visitor.newest(set())
    visitor.look("2-scene")
    visitor.browser.find("a.event")[0].click()
    visitor.browser.sees("What was it")
    return event_id


def reads_what_when_and_why(visitor: Visitor) -> None:
    page = visitor.browser
    page.sees(r"site-microphone")  # what, in one sentence
    page.sees(r"began \d+:\d\d:\d\d.*(so far|lasted) \d")  # when, and how long
    page.sees(r"Why It shows in site-microphone.*where .* dB is usual")  # why, beside what is usual
    page.sees("over")
    wait_until(lambda: page.painted("canvas[aria-label='spectrogram of the sound']"))


def plays_the_clip(visitor: Visitor) -> None:
    page = visitor.browser
    wait_until(lambda: page.run("return document.querySelector('video')?.readyState >= 2"))
    page.run("const v = document.querySelector('video'); v.muted = true; v.play();")
    wait_until(lambda: page.run("return document.querySelector('video').currentTime > 0.3"))
    page.run("document.querySelector('video').pause()")
    visitor.look("3-event")


def says_that_it_is_normal(visitor: Visitor) -> None:
    page = visitor.browser
    page.click("Normal here")
    page.sees("In the last 7 days .* alarms? .* sent from this scene")
    page.sees("No alarm would have been added")
    visitor.look("4-foretold")
    with closing(answer_store(visitor.deployment)) as answers:
        assert answers.all() == []
    page.click("Yes, it is normal")
    page.sees("not sent until .* Held back since then: none yet")
    visitor.look("5-answered")


def sees_it_held_back(visitor: Visitor, known: set[str]) -> str:
    page = visitor.browser
    visitor.go("events")
    event_id = visitor.newest(known)
    page.sees("known here, not sent")
    visitor.look("6-events")
    visitor.go(f"event/{event_id}")
    page.sees("Like one that is normal here: it was not sent to anybody")
    page.sees("over")
    wait_until(lambda: page.painted("canvas[aria-label='spectrogram of the sound']"))
    visitor.look("7-held-back")
    return event_id


def takes_it_back(visitor: Visitor) -> None:
    page = visitor.browser
    visitor.go("health")
    page.sees(r"Held back as normal .*\d of \d alarms held back, last week")
    visitor.look("8-health")
    page.click("Take back")
    page.sees("Nothing was said to be normal: every alarm is sent")


def foretold_is_what_a_replay_gives(
    deployment: Deployment, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = deployment.data / "demo.yaml"
    capsys.readouterr()
    assert fusewatch("feedback", "preview", config, first, "--json") == 0
    foretold = {row["id"] for row in json.loads(capsys.readouterr().out)["lost"]}
    replayed = replay(sorted((deployment.data / "recordings").glob("*.mcap")), deployment)
    lives: dict[str, list[Event]] = {}
    for event in replayed.events:
        lives.setdefault(event.id, []).append(event)
    known = worst(lives[first])
    assert known is not None and foretold
    withheld = {one for one, life in lives.items() if Rules([Exemption(known)]).of(life)}
    assert withheld >= foretold
    assert re.fullmatch("[0-9a-f]{20}", first)
