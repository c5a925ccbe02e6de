"""The judge of a soak finds what is wrong, and nothing where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.soak.faults import CALM, STORM, plan
from tests.soak.judging import CAPTURE, NODES, PER_S, growth, judge
from tests.soak.kept import Kept
from tests.soak.sampling import Books, Look, Process
from tests.soak.witness import Recorded, recorded

SECONDS = 7200.0
LIFE = [("a", 0, "raised"), ("a", 1, "updated"), ("a", 2, "cleared"), ("b", 0, "raised")]


def look(at_s: float) -> Look:
    processes = {name: Process(n, 100.0, 50.0, at_s / 10) for n, name in enumerate(NODES, 10)}
    given = {name: round(hz * at_s) for name, hz in PER_S.items()}
    ledger = {
        name: Books(count, max(0, count - 30), min(count, 30)) for name, count in given.items()
    }
    ages = {"count": 2 * at_s, "sum": at_s, "le 0.5": 2 * at_s, "le +Inf": 2 * at_s}
    return Look(at_s, processes, ledger, ages)


@pytest.fixture
def kept() -> Kept:
    looks = [look(float(at_s)) for at_s in range(0, int(SECONDS), 20)]
    last = {name: Books(9000, 9000) for name in PER_S}
    taken = [(f"{event}.{revision}", phase) for event, revision, phase in LIFE]
    recorded = {name: Recorded(9000, 0) for name in PER_S}
    return Kept(SECONDS, plan(SECONDS, 1), looks, last, recorded, list(LIFE), taken, 0)


def only(kept: Kept) -> str:
    """The one violation that there is."""
    (found,) = judge(kept).violations
    return found


def test_a_soak_without_fault_has_no_violation(kept: Kept) -> None:
    verdict = judge(kept)
    assert verdict.violations == []
    assert verdict.figures["captured, of what the sources give"] == dict.fromkeys(PER_S, 1.0)
    assert verdict.figures["window age s"]["quiet"]["p99 <="] == "0.5"  # type: ignore[index]


def test_books_that_do_not_add_up_at_one_look_are_found(kept: Kept) -> None:
    kept.looks[77].ledger["site-camera"].delivered -= 1
    assert only(kept) == "1 samples of site-camera unexplained at 1540 s"


def test_a_drop_is_found_also_of_a_life_of_the_process_that_is_over(kept: Kept) -> None:
    for seen in kept.looks[:5]:
        seen.processes[CAPTURE] = replace(seen.processes[CAPTURE], pid=7)
    books = kept.looks[4].ledger["site-camera"]
    books.dropped = {"spool_full": 3}
    books.delivered -= 3
    assert only(kept) == "3 samples lost: site-camera, spool_full"


def test_samples_that_wait_at_the_end_are_found(kept: Kept) -> None:
    kept.last["site-camera"] = Books(9000, 8990, 10)
    assert only(kept) == "10 samples of site-camera were not delivered at the end"


def test_samples_that_were_acked_and_are_not_recorded_are_found(kept: Kept) -> None:
    kept.recorded["site-camera"] = Recorded(8998, 2)
    assert only(kept) == "2 samples of site-camera are not recorded"


def test_recorded_samples_are_counted_by_life() -> None:
    first = [("cam", number, number) for number in (0, 1, 2, 4, 2, 3, 7)]  # some came again
    second = [("cam", number, 100 + number) for number in (0, 1, 3)]
    assert recorded([*first, *second]) == {"cam": Recorded(9, 3)}


def test_a_camera_that_stalls_is_found(kept: Kept) -> None:
    for seen in kept.looks:
        seen.ledger["site-camera"] = Books(round(14 * seen.at_s), round(14 * seen.at_s))
    assert only(kept) == "only 93.3% of site-camera was captured"


def test_a_process_that_grows_is_found_in_spite_of_spikes(kept: Kept) -> None:
    for number, seen in enumerate(kept.looks):
        size = 100 + 1.5 * seen.at_s / 3600 + (40 if number % 9 == 0 else 0)
        seen.processes["fusion"] = replace(seen.processes["fusion"], resident_mb=size)
    assert only(kept) == "fusion grows by 1.50 MB an hour"


def test_growth_is_of_one_life_only(kept: Kept) -> None:
    half = [seen for seen in kept.looks if seen.at_s > SECONDS / 2]
    for seen in half:
        seen.processes["fusion"] = Process(99, 130.0, 60.0, seen.at_s / 10)
    assert judge(kept).violations == []


@pytest.mark.parametrize(
    ("stored", "taken", "expected"),
    [
        (LIFE, LIFE[1:], "1 events were never taken"),
        (LIFE[:3], LIFE, "1 events taken that the store lacks"),
        ([LIFE[0], *LIFE[2:]], [LIFE[0], *LIFE[2:]], "1 events have gaps or phases twice"),
        ([*LIFE, ("b", 1, "raised")], [*LIFE, ("b", 1, "raised")],
         "1 events have gaps or phases twice"),
    ],
)  # fmt: skip
def test_events_that_differ_between_store_and_address_are_found(
    kept: Kept,
    stored: list[tuple[str, int, str]],
    taken: list[tuple[str, int, str]],
    expected: str,
) -> None:
    kept.stored = stored
    kept.taken = [(f"{event}.{revision}", phase) for event, revision, phase in taken]
    assert only(kept) == expected


def test_an_event_taken_again_needs_a_fault_that_explains_it(kept: Kept) -> None:
    kept.taken.append(kept.taken[0])
    assert judge(kept).violations == []
    kept.faults = [fault for fault in kept.faults if fault.target == "line"]
    assert only(kept) == "1 events taken again without a fault that explains it"


def test_the_slope_is_that_of_most_pairs() -> None:
    at_s = np.arange(0.0, 3600.0, 5.0)
    rng = np.random.default_rng(0)
    assert growth(at_s, 80 + 2 * at_s / 3600 + rng.normal(0, 0.5, len(at_s)))[0] == pytest.approx(
        2.0, abs=0.2
    )
    step = np.where(at_s < 300, 50.0, 80.0)  # a buffer that was filled once
    assert growth(at_s, step)[0] == 0.0


def test_a_plan_is_the_same_for_a_seed_and_kills_nobody_in_the_calm_part() -> None:
    faults = plan(SECONDS, 3)
    assert faults == plan(SECONDS, 3) != plan(SECONDS, 4)
    kills = [fault.at_s / SECONDS for fault in faults if fault.kind == "kill"]
    assert len(kills) > 5
    assert all(share < STORM or share >= CALM for share in kills)
    assert max(fault.end_s for fault in faults) < SECONDS


def test_a_look_is_read_back_as_it_was() -> None:
    assert Look.from_json(look(60.0).to_json()) == look(60.0)
