"""Sensor readings on a grid, and the grid itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alignment.grid import Grid
from pipeline.alignment.resample import Cells, onto_grid, plan, stretch
from pipeline.alignment.settings import Interpolation
from pipeline.core.window import SensorSlice, Window
from tests.unit.alignment_scenarios import examples
from tests.unit.alignment_streams import MS, PROBE, T0, S, feed, opened, patient, reading

NAN = float("nan")


def cells(
    readings: list[tuple[int, float]],
    grid: list[int],
    mode: Interpolation = "linear",
    gap: int = 1000,
) -> Cells:
    stamps = np.array([t for t, _ in readings], dtype=np.int64)
    values = np.array([[v] for _, v in readings], dtype=np.float64).reshape(-1, 1)
    return onto_grid(stamps, values, np.array(grid, dtype=np.int64), plan([mode], gap, 5))


def column(found: Cells) -> list[float | None]:
    return [None if np.isnan(v) else float(v) for v in found.values[:, 0]]


def test_a_line_joins_neighbours_and_exact_hits_are_exact() -> None:
    assert column(cells([(0, 1.0), (100, 3.0)], [0, 25, 50, 100])) == [1.0, 1.5, 2.0, 3.0]


def test_nothing_is_drawn_before_the_first_or_after_the_last_reading() -> None:
    assert column(cells([(10, 1.0), (20, 2.0)], [0, 10, 20, 30])) == [None, 1.0, 2.0, None]


def test_a_bridge_longer_than_the_gap_is_not_built() -> None:
    assert column(cells([(0, 1.0), (1000, 2.0)], [0, 500], gap=1000)) == [1.0, 1.5]
    assert column(cells([(0, 1.0), (1001, 2.0)], [0, 500], gap=1000)) == [1.0, None]


def test_previous_holds_the_last_reading_within_the_gap() -> None:
    found = cells([(0, 1.0), (100, 2.0)], [0, 99, 100, 150, 201], "previous", gap=100)
    assert column(found) == [1.0, 1.0, 2.0, 2.0, None]


def test_none_takes_the_nearest_reading_within_half_a_period_as_it_is() -> None:
    found = cells([(3, 1.0), (17, 2.0), (30, 3.0)], [0, 10, 20, 30, 40], "none")
    assert column(found) == [1.0, None, 2.0, 3.0, None]


def test_a_missing_cell_does_not_hide_its_neighbours() -> None:
    readings = [(0, 1.0), (10, NAN), (20, 3.0), (30, float("inf")), (40, 5.0)]
    assert column(cells(readings, [0, 10, 20, 30, 40])) == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_of_readings_with_the_same_stamp_the_first_counts() -> None:
    assert column(cells([(0, 1.0), (0, 9.0), (10, 2.0), (10, 7.0)], [0, 5, 10])) == [1.0, 1.5, 2.0]


def test_channels_have_each_their_own_mode_and_holes() -> None:
    stamps = np.array([0, 10, 20])
    values = np.array([[0.0, 0.0, 0.0], [1.0, NAN, 1.0], [2.0, 2.0, 2.0]])
    found = onto_grid(
        stamps, values, np.array([5, 15]), plan(["linear", "linear", "previous"], 100, 5)
    )
    assert found.values.tolist() == [[0.5, 0.5, 0.0], [1.5, 1.5, 1.0]]
    assert found.present.all()
    assert found.used.all()


def test_a_line_between_later_readings_is_theirs_also_beside_a_channel_with_holes() -> None:
    stamps = np.array([0, 10, 20, 30])
    values = np.array([[0.0, NAN], [9.0, 1.0], [1.0, NAN], [5.0, 3.0]])
    found = onto_grid(stamps, values, np.array([5, 15, 25]), plan(["linear"] * 2, 100, 5))
    np.testing.assert_allclose(found.values, [[4.5, NAN], [5.0, 1.5], [3.0, 2.5]])
    assert found.used.all()


def test_no_readings_give_no_cells() -> None:
    found = onto_grid(
        np.zeros(0, np.int64), np.zeros((0, 2)), np.array([0, 1]), plan(["linear"] * 2, 9, 5)
    )
    assert not found.present.any()
    assert np.isnan(found.values).all()


@examples(100)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), min_size=2, max_size=30),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=30),
)
def test_a_line_agrees_with_numpy_wherever_it_is_drawn(
    pairs: list[tuple[int, float]], points: list[int]
) -> None:
    readings = sorted(dict(pairs).items())
    grid = sorted(set(points))
    found = cells(readings, grid, gap=10**9)
    expected = np.interp(grid, *zip(*readings, strict=True), left=NAN, right=NAN)
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("rate", [0.3, 1.0, 7.0, 10.0, 29.97, 30.0, 100.0])
def test_grid_points_hang_on_the_epoch_and_windows_share_them(rate: float) -> None:
    grid = Grid(rate)
    count = grid.count(2 * S)
    assert count == max(1, round(2 * rate))
    shared = [set(grid.points(T0 + k * S // 2, count).tolist()) for k in range(6)]
    everything = sorted(set().union(*shared))
    assert all(abs(b - a - 1e9 / rate) <= 1 for a, b in itertools.pairwise(everything))
    for k, points in enumerate(shared):
        start = T0 + k * S // 2
        assert min(points) >= start - grid.period_ns // 2 - 1
        assert max(points) == grid.last_ns(start, count)
        if count > 1:
            assert max(points) <= start + 2 * S


def test_stretched_sound_keeps_its_ends_and_a_constant() -> None:
    sound = np.full((8001, 2), 0.25, dtype=np.float32)
    heard = np.ones(8001, dtype=np.bool_)
    heard[100] = False
    out, present = stretch(sound, heard, 8000)
    assert out.shape == (8000, 2)
    np.testing.assert_allclose(out[present], 0.25, rtol=1e-5)
    assert np.flatnonzero(~present).tolist() in ([99, 100], [100])


def sensor(window: Window) -> SensorSlice:
    part = window.slices["probe"]
    assert isinstance(part, SensorSlice)
    return part


def test_a_dead_channel_neither_delays_windows_nor_hides_the_living() -> None:
    options = patient(streams=("probe",))
    samples = [reading(i, values=(float(i), NAN)) for i in range(120)]
    run = feed(opened(options, [PROBE]), samples, end=False)
    assert [(cut - w.end_ns) // MS for w, cut in zip(run.windows, run.cut_at, strict=True)] == [
        50
    ] * len(run.windows)
    assert all(sensor(w).present[:, 0].all() for w in run.windows)
    assert not any(sensor(w).present[:, 1].any() for w in run.windows)
    assert all(sensor(w).coverage == 0.5 for w in run.windows)


def test_a_cell_missing_at_the_edge_is_waited_for_two_periods() -> None:
    holes = {39, 40}
    samples = [reading(i, values=(float(i), NAN if i in holes else float(i))) for i in range(80)]
    run = feed(opened(patient(streams=("probe",)), [PROBE]), samples, end=False)
    assert sensor(run.windows[0]).present.all()
    assert sensor(run.windows[0]).values[39, 1] == 39.0


def test_slow_readings_can_be_held() -> None:
    slow = PROBE.__class__("probe", PROBE.modality, None, (2,), channels=("a", "b"))
    options = patient(
        streams=("probe",),
        options={"probe": {"interpolation": "previous", "max_gap_ns": 10 * S, "grid_hz": 5.0}},
    )
    samples = [reading(i * 60, values=(float(i), 0.0)) for i in range(6)]
    run = feed(opened(options, [slow]), samples)
    assert all(sensor(w).coverage == 1.0 for w in run.windows)
    assert set(sensor(run.windows[2]).values[:, 0]) == {0.0}
