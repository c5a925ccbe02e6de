"""Escalation and quiet hours of an alert node that is a process and killed, with real answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from nodes.answer_handover import AnswerHandover
from pipeline.core.clock import NodeClock
from pipeline.core.event import Event
from pipeline.store import Action, Answer, AnswerStore, Commit, FusionStore
from tests.event_samples import event
from tests.http_receiver import HttpReceiver
from tests.system.alert_process import AlertProcess

pytestmark = pytest.mark.system

HOOK, FILE = "digest_after_s: null", "path: events.jsonl"
ALWAYS = "quiet: {start: 00:00, end: 00:00, timezone: Europe/Berlin, at_least: critical}"


class Site:
    """The alert process, and the stores of the fusion node whose answers it is given."""

    def __init__(self, folder: Path, hook: HttpReceiver) -> None:
        self.hook = hook
        self.alert = AlertProcess(folder, hook.url)
        self._text = self.alert.config.read_text()
        self.events = FusionStore(folder / "fusion.db")
        self.answers = AnswerStore(folder / "answers.db")
        self.handover = AnswerHandover(self.events, self.answers, NodeClock())

    def start(self, escalate_s: float, *, quiet: bool) -> None:
        text = self._text.replace(HOOK, f"answers: true\n      escalate: {{after_s: {escalate_s}}}")
        text = text.replace(FILE, f"{FILE}, {ALWAYS}") if quiet else text
        self.alert.config.write_text(text)
        self.alert.start()

    def raised(self, scene: str) -> Event:
        made = msgspec.structs.replace(event(scene=scene), end_ns=time.time_ns())
        self.events.commit(Commit(events=[made]))
        self.alert.send(made)
        return made

    def seen(self, to: Event) -> None:
        self.answers.add(Answer(to.id, to.scene, Action.SEEN, "", "", "Ada", time.time_ns()))

    def handed(self) -> bool:
        """Whether the alert node has every answer; offers what it has not."""
        self.handover.offer(self.alert.sender)
        self.alert.pump()
        self.handover.confirmed(self.alert.confirmed)
        return not self.answers.unhanded(1)

    def told(self) -> list[tuple[str, str]]:
        """Type and scene of what the webhook was given, each key once."""
        bodies = {r.key: json.loads(r.body) for r in self.hook.accepted}.values()
        return [
            (b["type"].removeprefix("org.fusewatch.event."), b["data"]["scene"]) for b in bodies
        ]

    def close(self) -> None:
        self.alert.close()
        self.events.close()
        self.answers.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with HttpReceiver() as hook, closing(Site(tmp_path, hook)) as made:
        yield made


def test_killed_again_and_again_it_tells_what_nobody_answered_and_only_that(site: Site) -> None:
    site.start(3600, quiet=True)
    hall, yard = site.raised("hall"), site.raised("yard")
    site.alert.wait_confirmed(hall, yard)
    site.alert.kill()
    site.seen(hall)
    assert not site.handed()
    site.start(3600, quiet=True)
    site.alert.wait_until(site.handed, "the alert node has the answer")
    assert site.told() == []
    assert site.alert.written() == []
    site.alert.kill()
    site.start(0.001, quiet=False)  # now its time has come
    site.alert.wait_until(lambda: ("raised", "yard") in site.told(), "it is told")
    site.seen(yard)
    site.alert.wait_until(site.handed, "the alert node has the other answer")
    site.alert.wait_until(lambda: len(site.told()) > 1, "that is told too")
    assert site.told() == [("raised", "yard"), ("answered", "yard")]
    site.alert.wait_until(lambda: len(site.alert.written()) > 1, "the quiet hours are over")
    assert sorted(site.alert.written()) == sorted([hall.key, yard.key])
