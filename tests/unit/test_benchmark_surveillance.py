from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.benchmarks.real import surveillance
from tests.benchmarks.real.video_files import Clip, cutouts, paste, read_clip
from tests.benchmarks.real.video_peers import moving_mean, peers
from tests.benchmarks.real.video_wrong import KINDS, PACES, Place, spoilt

HIGH, WIDE, RATE_HZ = 72, 120, 10.0


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def street() -> Clip:
    """Somebody after the other walks to the right, every third faces nobody."""
    random = np.random.default_rng(0)
    ground = np.full((HIGH, WIDE, 3), 120.0) + 20 * np.sin(np.arange(WIDE) / 6)[None, :, None]
    frames = []
    for number in range(340):
        frame = ground + random.normal(0, 1.5, ground.shape)
        walk, at = divmod(number, 40)
        foot, left = 50 + 3 * (walk % 6), 4 + round(2.6 * at)
        coat = np.random.default_rng(walk).uniform(10, 60, 3)
        if walk % 3:
            frame[foot - 24 : foot, left : left + 8] = coat
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return Clip("street", np.stack(frames), RATE_HZ)


@lru_cache(maxsize=1)
def place() -> Place:
    clip = street()
    learn = clip.part(0, 200)
    return Place("street", learn, clip.part(200, 340), cutouts(learn, 60, 6), _balls())


def _balls():
    """What is foreign there: something bright and wide that crosses another place."""
    frames = np.full((40, HIGH, WIDE, 3), 90, np.uint8)
    for number in range(0, 24):
        frames[number, 30:42, 10 + 3 * number : 34 + 3 * number] = (40, 220, 250)
    return cutouts(Clip("balls", frames, RATE_HZ), 60, 4)


def test_a_film_is_read_as_often_and_as_wide_as_asked_for(tmp_path):
    path = tmp_path / "film.avi"
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (WIDE, HIGH))
    for frame in street().frames[:20]:
        film.write(frame)
    film.release()
    clip = read_clip(path, every=2, width=60)
    assert clip.frames.shape == (10, 36, 60, 3) and clip.rate_hz == pytest.approx(10.0)
    with pytest.raises(ValueError, match="no picture"):
        read_clip(Path("not-there.avi"))


def test_things_are_cut_out_with_their_paths():
    found = place().usual
    assert len(found) >= 5
    for one in found:
        assert one.height == pytest.approx(24, abs=3)
        assert one.step == pytest.approx([2.6, 0.0], abs=0.4)
        assert max(picture.mean() for picture in one.pictures) < 90


def test_what_is_pasted_is_where_it_was_put_and_as_tall_as_asked_for():
    thing = place().usual[0]
    frame = np.full((HIGH, WIDE, 3), 200, np.uint8)
    assert paste(frame, thing.pictures[0], thing.masks[0], 60.0, 50.0, 30.0)
    rows, columns = np.nonzero(frame.min(axis=2) < 120)
    assert rows.min() == pytest.approx(20, abs=2) and rows.max() == pytest.approx(49, abs=2)
    assert columns.mean() == pytest.approx(60, abs=1.5)
    assert not paste(frame, thing.pictures[0], thing.masks[0], -20.0, 50.0, 30.0)
    assert not paste(frame, thing.pictures[0], thing.masks[0], 0.0, 5.0, 30.0)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_footage_is_wrong_just_where_something_was_put_in(kind):
    frames, truth = spoilt(place(), kind, 3)
    changed = (frames != place().judge.frames).any(axis=(1, 2, 3))
    assert len(truth) == len(place().judge.frames)
    assert truth.any() and not truth[:20].any()
    assert changed[truth].all()
    again, _ = spoilt(place(), kind, 3)
    assert np.array_equal(frames, again)


@pytest.mark.parametrize("kind", sorted(PACES))
def test_footage_played_otherwise_goes_on_from_where_that_has_led(kind):
    frames, truth = spoilt(place(), kind, 3)
    source = [int(np.argmin(np.abs(place().judge.frames - f).mean(axis=(1, 2, 3)))) for f in frames]
    steps = np.diff(source)
    assert set(steps[truth[1:]]) == {PACES[kind]} and set(steps[~truth[1:]]) == {1}


def test_peers_do_not_know_what_comes_later():
    learnt, fresh = street().frames[:120], street().frames[120:180]
    whole, shorter = (peers(learnt, part, 10, 0) for part in (fresh, fresh[:30]))
    for name in set(whole) - {"random"}:
        assert np.allclose(whole[name][:30], shorter[name])
    assert moving_mean(np.arange(5.0), 2).tolist() == [0.0, 0.5, 1.5, 2.5, 3.5]


def test_the_detector_judges_each_picture_by_what_came_before_it():
    judge = surveillance.learn(place().learn)
    fresh, truth = spoilt(place(), "foreign", 3)
    levels = judge(fresh)
    assert np.array_equal(judge(fresh[:60]), levels[:60])
    assert np.median(levels[truth]) > np.quantile(levels[~truth], 0.75)


def test_the_benchmark_tells_kinds_their_mean_and_all_pictures_pooled(monkeypatch, capsys):
    levels = {"foreign": 1.0, "fast": 0.0}
    truth = np.array([False, False, True, True])
    measured = {"fusewatch": {k: (truth, truth * v + 0.0) for k, v in levels.items()}}
    monkeypatch.setitem(surveillance.HALVES, "looked at once", lambda _: iter([(place(), 1)]))
    monkeypatch.setitem(
        surveillance.HALVES, "options were chosen on", lambda _: iter([(place(), 1)])
    )
    monkeypatch.setattr(surveillance, "measure", lambda *_: measured)
    surveillance.run(Path(), ("foreign", "fast"))
    printed = capsys.readouterr().out
    assert "looked at once" in printed
    line = next(one for one in printed.splitlines() if one.startswith("fusewatch"))
    assert line.split() == ["fusewatch", "1.000", ".500", ".750", ".750"]
