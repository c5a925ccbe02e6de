"""The arithmetic of the simulated fleet: its growth, ages of windows, what many scenes need."""

from dataclasses import replace

import pytest

from tests.benchmarks.fleet_growth import line_of
from tests.benchmarks.fleet_paper import Units, main, needs
from tests.benchmarks.fleet_site import Layout
from tests.benchmarks.fleet_worker import Stages, ages_s, quantile_s, watched

COUNTS = (1, 2, 4, 8, 16, 32, 64)


def test_a_line_is_found_and_does_not_bend():
    line = line_of(COUNTS, [0.01 + 0.003 * n for n in COUNTS])
    assert line.fixed == pytest.approx(0.01)
    assert line.each == pytest.approx(0.003)
    assert line.bend == pytest.approx(1.0)
    assert line.unit < 1


def test_what_grows_with_the_square_bends_up():
    line = line_of(COUNTS, [0.01 + 0.003 * n + 0.0002 * n * n for n in COUNTS])
    assert line.bend > 1.5


def test_ages_are_those_between_two_readings_of_all_workers():
    def labelled(scene, *counts):
        edges = zip(("0.25", "0.5", "+Inf"), counts, strict=True)
        return {(("le", edge), ("scene", scene)): count for edge, count in edges}

    one = labelled("a", 10, 10, 10), labelled("a", 20, 20, 20)
    two = labelled("b", 0, 0, 0), labelled("b", 0, 8, 10)
    ages = ages_s([one, two])
    assert ages == [(0.25, 10), (0.5, 18), (float("inf"), 20)]
    assert quantile_s(ages, 0.25) == pytest.approx(0.125)
    assert quantile_s(ages, 0.7) == pytest.approx(0.375)
    assert quantile_s(ages, 0.99) == float("inf")


def test_what_is_timed_of_a_fusion_node_is_there():
    class Named(Stages):
        def wrap(self, owner, name, stage):
            found.append(callable(getattr(owner, name, None)) or f"{owner.__name__}.{name}")

    found = []
    watched(Named())
    assert set(found) == {True}


def test_a_stage_is_without_those_inside_it():
    class Work:
        def outer(self):
            self.inner()
            spin(1)

        def inner(self):
            spin(30)

    def spin(thousands):
        return sum(range(thousands * 10_000))

    stages = Stages()
    stages.wrap(Work, "outer", "outer")
    stages.wrap(Work, "inner", "inner")
    Work().outer()
    assert 0 < stages.spent["outer"] < stages.spent["inner"]


def test_every_stream_of_a_scene_belongs_to_one_of_its_nodes():
    layout = Layout("sensors", nodes=3, streams=2)
    dealt = [name for node in range(3) for name in layout.of_node("s", node)]
    assert dealt == layout.of_scene("s")


def test_needs_grow_with_the_scenes_where_nothing_is_shared():
    units = Units()
    few, many = needs(10_000, units), needs(100_000, units)
    for name in ("cores", "network_gbit_s", "commits_hz", "database_cores", "events_hz"):
        assert getattr(many, name) == pytest.approx(10 * getattr(few, name), rel=0.01)


def test_needs_are_the_unit_costs_multiplied():
    units = replace(
        Units(),
        score_ms=2.0,
        turn_ms=1.0,
        messages_hz=10.0,
        message_ms=0.1,
        pictures_hz=5.0,
        decode_ms=0.2,
        spare=0.5,
        worker_scenes=100,
        machine_cores=20,
    )
    found = needs(100_000, units)
    assert found.workers == 1000
    assert found.worker_cores == pytest.approx(0.5)  # 100 scenes at 5 ms a second
    assert found.cores == pytest.approx(1000)
    assert found.machines == 50
    assert found.gpus_by_memory == 6  # 735 GB of models in 139 GB each
    assert found.gpus_by_speed == 1
    assert found.events_hz == pytest.approx(100_000 * 2 / 604_800)


def test_the_table_fits_a_terminal_and_refuses_units_that_there_are_not(capsys):
    main(["--set", "score_ms=5"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
    with pytest.raises(SystemExit):
        main(["--set", "nonsense=5"])
    assert "no unit nonsense" in capsys.readouterr().err
