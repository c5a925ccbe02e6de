import numpy as np
import pytest
import torch

from pipeline.core.errors import StoreError
from pipeline.models.past import Past

CPU = torch.device("cpu")


def windows(indices):
    values = torch.tensor(indices, dtype=torch.float32)
    return [values[:, None].repeat(1, 2), -values[:, None]]


def seen(count):
    return torch.ones(count, 2, dtype=torch.bool)


def test_each_window_comes_with_those_before_it_oldest_first():
    past = Past(3, (2, 1))
    rows, shown = past.extend([10, 11, 12, 13], windows([10, 11, 12, 13]), seen(4))
    assert rows[1][3, :, 0].tolist() == [-11, -12, -13]
    assert rows[0][0, :, 1].tolist() == [0, 0, 10]
    assert shown[0, :, 0].tolist() == [False, False, True]
    assert shown[3].all()


def test_calls_may_be_cut_anywhere():
    whole = Past(4, (2, 1)).extend(range(20, 32), windows(range(20, 32)), seen(12))
    past, parts = Past(4, (2, 1)), []
    for part in (range(20, 21), range(21, 27), range(27, 32)):
        parts.append(past.extend(part, windows(part), seen(len(part))))
    torch.testing.assert_close(torch.cat([p[0][0] for p in parts]), whole[0][0])
    torch.testing.assert_close(torch.cat([p[1] for p in parts]), whole[1])


def test_a_gap_counts_as_not_seen():
    past = Past(3, (2, 1))
    past.extend([5], windows([5]), seen(1))
    rows, shown = past.extend([7], windows([7]), seen(1))
    assert shown[0, :, 0].tolist() == [True, False, True]
    assert rows[0][0, :, 0].tolist() == [5, 0, 7]


def test_what_was_not_seen_is_zero_whatever_stands_there():
    past = Past(2, (2, 1))
    values = windows([1, 2])
    values[0][0] = torch.nan
    dark = seen(2)
    dark[0, 0] = False
    rows, shown = past.extend([1, 2], values, dark)
    assert torch.isfinite(rows[0]).all()
    assert shown[1].tolist() == [[False, True], [True, True]]


def test_it_goes_on_from_its_state_as_if_nothing_had_happened():
    past = Past(4, (2, 1))
    past.extend(range(8), windows(range(8)), seen(8))
    again = Past(4, (2, 1)).restore(past.state(), CPU)
    ours, theirs = (p.extend([8], windows([8]), seen(1)) for p in (past, again))
    assert np.array_equal(ours[0][0].numpy(), theirs[0][0].numpy())
    assert again.state() == past.state()


def test_a_window_seen_twice_is_the_latest():
    past = Past(2, (2, 1))
    past.extend([3], windows([3]), seen(1))
    rows, _ = past.extend([3], windows([9]), seen(1))
    assert rows[0][0, :, 0].tolist() == [0, 9]


@pytest.mark.parametrize("state", [b"nonsense", Past(2, (3,)).state() + b"x"])
def test_a_foreign_state_is_refused(state):
    with pytest.raises(StoreError):
        Past(2, (2, 1)).restore(state, CPU)


def test_the_state_of_another_model_is_refused():
    other = Past(2, (3, 1))
    other.extend([1], [torch.zeros(1, 3), torch.zeros(1, 1)], seen(1))
    with pytest.raises(StoreError, match="another model"):
        Past(2, (2, 1)).restore(other.state(), CPU)
