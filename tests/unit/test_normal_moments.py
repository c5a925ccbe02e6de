"""Moments of normal: which are kept, which are found, and how they lie in the model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
import torch

from nodes.dashboard.normal_pictures import NormalPictures
from pipeline.core.errors import ModelFileError
from pipeline.core.explanation import Explanation, Moment
from pipeline.detection.scorer import Scorer
from pipeline.models.checkpoint import load_model, save_model
from pipeline.models.normal_bank import APART_NS, NormalBank, StreamMoments
from pipeline.models.normal_bank_file import PICTURES_MOST, bank_arrays, bank_of, pictures_in
from pipeline.models.settings import DetectorSettings
from pipeline.training import normal_moments
from pipeline.training.cross_fit import Embedded
from pipeline.training.normal_moments import choose_moments, spread
from pipeline.training.normal_rows import NormalRows
from tests.toy_site import CAMERA, FIRST, HOP_NS, LENGTH_NS, SENSORS, WINDOWS, Site, commissioned
from tests.watched_site import watched_deployment

LIVE = 5000
SECOND_NS = 10**9


@pytest.fixture(scope="module")
def bank() -> NormalBank:
    found = commissioned()[0].bank
    assert found is not None
    return found


def small_bank(**streams: list[list[float]]) -> NormalBank:
    """Moments a minute apart, seen by every stream, of these embeddings."""
    count = len(next(iter(streams.values())))
    kept = {
        name: StreamMoments(
            np.array(points, np.float32), np.zeros((count, 0), np.float32), (b"",) * count
        )
        for name, points in streams.items()
    }
    start_ns = np.arange(count, dtype=np.int64) * 2 * APART_NS
    seen = np.ones((count, len(streams)), np.bool_)
    return NormalBank(start_ns, seen, np.ones(len(streams)), kept)


def explained(wrong: str, at: int = 10) -> Explanation:
    site = Site(seed=1, wrong=wrong, wrong_from=LIVE, wrong_to=LIVE + 60)
    (score,) = Scorer({"hall": commissioned()[0]}, "cpu").score([site.window(LIVE + at)])
    assert score.explanation is not None
    return score.explanation


def test_moments_are_spread_so_that_no_window_is_far_from_all_of_them() -> None:
    rng = np.random.default_rng(3)
    points = np.concatenate([rng.normal(0, 1, (500, 4)), rng.normal(9, 0.1, (5, 4))])
    chosen = spread(points, 40)
    between = np.linalg.norm(points[chosen][:, None] - points[chosen][None], axis=2)
    between[np.diag_indices(40)] = np.inf
    furthest = np.linalg.norm(points[:, None] - points[chosen][None], axis=2).min(axis=1).max()
    assert furthest <= between.min()  # as Gonzalez proved
    assert (chosen[:2] >= 500).any()  # what is rare is not forgotten for what is common
    assert len(spread(np.zeros((10, 3)), 5)) == 1


def test_a_recording_is_kept_as_moments_that_do_not_overlap(bank: NormalBank) -> None:
    starts = np.sort(bank.start_ns)
    assert len(starts) == WINDOWS * HOP_NS // LENGTH_NS
    assert (np.diff(starts) >= LENGTH_NS).all()
    assert starts[0] >= FIRST * HOP_NS
    assert bank.seen.all()
    assert [one.levels.shape[1] for one in bank.streams.values()] == [0, 40, 3, 0]
    moment = int((bank.start_ns[7] - FIRST * HOP_NS) // HOP_NS)
    readings = Site(streams=(SENSORS,)).window(moment).slices["plc"].values  # type: ignore[union-attr]
    np.testing.assert_allclose(
        bank.streams["plc"].levels[7], readings.mean(axis=0), rtol=0.05, atol=0.05
    )


@pytest.mark.parametrize(("wrong", "stream"), [("sound", "mic"), ("sensor", "plc")])
def test_what_is_strange_is_named_and_the_rest_chooses_the_moment(
    bank: NormalBank, wrong: str, stream: str
) -> None:
    nearest, *others = explained(wrong).nearest
    assert nearest.differs == stream
    assert nearest.streams[stream] > 2
    assert nearest.streams["cam"] < 2.5
    assert len(others) == 2
    assert [m.distance for m in (nearest, *others)] == sorted(
        m.distance for m in (nearest, *others)
    )
    times = [m.at_ns for m in (nearest, *others)]
    assert set(times) <= set(bank.start_ns.tolist())
    assert min(abs(a - b) for a in times for b in times if a != b) >= APART_NS
    assert nearest.pictures == ("cam",)
    assert stream in {then.stream for then in nearest.levels}


def test_a_stream_that_is_far_from_everything_hardly_chooses() -> None:
    # The second moment is a little nearer by the stream that is strange, the first by the other.
    moments = small_bank(odd=[[100.0], [99.0]], calm=[[0.0], [3.0]])
    (best, second) = moments.nearest({"odd": np.zeros(1), "calm": np.zeros(1)}, 2)
    assert (best.row, second.row) == (0, 1)
    plain = np.hypot([100.0, 99.0], [0.0, 3.0])
    assert plain[1] < plain[0]  # by the plain distance the strange one would have chosen


def test_a_stream_that_is_not_seen_is_left_out_and_without_any_there_is_nothing_to_tell() -> None:
    moments = small_bank(a=[[0.0], [5.0]], b=[[5.0], [0.0]])
    (best, _) = moments.nearest({"b": np.zeros(1)}, 2)
    assert (best.row, set(best.streams)) == (1, {"b"})
    assert moments.nearest({}, 2) == []
    unseen = replace(moments, seen=np.zeros((2, 2), np.bool_))
    assert unseen.nearest({"a": np.zeros(1)}, 2) == []


def test_ordinary_windows_are_compared_with_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(NormalBank, "nearest", lambda *_: asked.append(1) or [])
    scores = Scorer({"hall": commissioned()[0]}, "cpu").score(list(Site(seed=2).windows(900, 30)))
    assert sum(score.explanation is not None for score in scores) == len(asked) < 5


def test_moments_come_back_from_the_file_and_pictures_by_themselves(
    bank: NormalBank, tmp_path: Path
) -> None:
    path = tmp_path / "hall.model"
    save_model(commissioned()[0], path)
    again = load_model(path).bank
    assert again is not None
    for name, value in bank_arrays(bank).items():
        np.testing.assert_array_equal(bank_arrays(again)[name], value)
    pictures = pictures_in(path)
    assert pictures == {
        ("cam", int(at)): jpeg
        for at, jpeg in zip(bank.start_ns, bank.streams["cam"].pictures, strict=True)
    }
    assert sum(map(len, pictures.values())) <= PICTURES_MOST
    moment = int((bank.start_ns[0] - FIRST * HOP_NS) // HOP_NS)
    frames = Site(streams=(CAMERA,)).window(moment).slices["cam"].frames  # type: ignore[union-attr]
    shown = cv2.imdecode(np.frombuffer(pictures["cam", int(bank.start_ns[0])], np.uint8), 1)
    near = [
        np.abs(shown.astype(int) - cv2.resize(f.data, shown.shape[1::-1])).mean() for f in frames
    ]
    assert min(near) < 6


def test_an_older_file_without_moments_can_be_read_and_explains_as_before(tmp_path: Path) -> None:
    path = tmp_path / "older.model"
    save_model(replace(commissioned()[0], bank=None), path)
    older = load_model(path)
    assert older.bank is None
    assert pictures_in(path) == {}
    site = Site(seed=1, wrong="sound", wrong_from=LIVE, wrong_to=LIVE + 60)
    (score,) = Scorer({"hall": older}, "cpu").score([site.window(LIVE + 10)])
    assert score.explanation is not None
    assert score.explanation == msgspec.structs.replace(explained("sound"), nearest=())


def test_pictures_and_moments_are_kept_only_as_the_settings_and_the_room_allow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = NormalRows("hall", DetectorSettings())
    for window in Site(streams=(CAMERA,)).windows(0, 80):
        rows.add(window)
    data = rows.finish()
    values = torch.from_numpy(np.random.default_rng(1).normal(size=(80, 4)))
    embedded = Embedded((values,), torch.ones((80, 1), dtype=torch.bool))

    def kept(**changes: object) -> NormalBank | None:
        settings = DetectorSettings().model_copy(update=changes)
        return choose_moments(rows, data, embedded, settings)

    monkeypatch.setattr(normal_moments, "PICTURES_MOST", 5000)
    few = kept(moments=12)
    assert few is not None
    sizes = [len(picture) for picture in few.streams["cam"].pictures]
    assert len(sizes) == 12
    assert 0 < sum(sizes) <= 5000
    assert sizes[0] and not sizes[-1]  # those that tell most of normal come first
    without = kept(moments=5, moment_pictures=False)
    assert without is not None
    assert set(without.streams["cam"].pictures) == {b""}
    assert kept(moments=0) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("moments.scales", np.zeros(1)),
        ("moments.seen", np.ones((2, 3), np.bool_)),
        ("moments.0.embedding", np.zeros((2, 9), np.float32)),
        ("moments.0.ends", np.array([7, 5])),
        ("moments.0.ends", np.array([5, 99])),
        ("moments.0.pictures", np.zeros(3, np.int32)),
        ("moments.0.levels", None),
    ],
)
def test_moments_that_do_not_fit_are_refused(name: str, value: np.ndarray | None) -> None:
    arrays = bank_arrays(small_bank(cam=[[0.0], [1.0]]))
    assert bank_of(["cam"], [1], arrays) is not None
    changed = {**arrays, name: value}
    with pytest.raises(ModelFileError):
        bank_of(["cam"], [1], {n: v for n, v in changed.items() if v is not None})


def test_bytes_that_are_no_jpeg_are_never_shown() -> None:
    moments = small_bank(cam=[[0.0], [1.0]])
    script = replace(moments.streams["cam"], pictures=(b"<script>", b"\xff\xd8\xff\xe0"))
    arrays = bank_arrays(replace(moments, streams={"cam": script}))
    found = bank_of(["cam"], [1], arrays)
    assert found is not None
    assert found.streams["cam"].pictures == (b"", b"\xff\xd8\xff\xe0")


def test_the_page_shows_a_moment_less_what_is_masked_today_until_the_model_is_replaced(
    bank: NormalBank, tmp_path: Path
) -> None:
    deployment = watched_deployment(tmp_path)
    (tmp_path / "hall.model").unlink()
    at_ms = int(bank.start_ns[0]) // 10**6
    pictures = NormalPictures(deployment)
    assert pictures.picture("hall", "cam", at_ms) is None  # there is no model yet
    save_model(commissioned()[0], tmp_path / "hall.model")
    assert pictures.picture("hall", "cam", at_ms) == bank.streams["cam"].pictures[0]
    assert pictures.picture("hall", "cam", at_ms + 1) is None
    assert pictures.picture("yard", "cam", at_ms) is None
    half = {"window": [(0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)]}
    stream = deployment.stream("cam").model_copy(update={"mask": half})
    masked = deployment.model_copy(update={"streams": {"cam": stream}})
    jpeg = NormalPictures(masked).picture("hall", "cam", at_ms)
    assert jpeg is not None
    shown = cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1)
    left, right = shown[:, : shown.shape[1] // 2 - 8], shown[:, shown.shape[1] // 2 + 8 :]
    assert left.max() < 12 < right.mean()


def test_a_moment_says_when_how_far_and_what_differs_in_the_event_as_it_is_sent() -> None:
    nearest = explained("sound").nearest[0]
    data = msgspec.json.decode(msgspec.json.encode(nearest), type=Moment)
    assert data == nearest
    assert nearest.at_ns % HOP_NS == 0
    assert all(round(apart, 3) == apart for apart in nearest.streams.values())
