import torch

from pipeline.training.modality_dropout import DropoutSettings

THERE = torch.ones(6000, 3, dtype=torch.bool)


def seed() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_streams_are_left_out_as_often_as_asked_and_never_all():
    dropout = DropoutSettings(chance=0.5).build(3)
    kept = dropout.draw(THERE, seed())
    assert kept.any(dim=1).all()
    # 1/8 of the samples would lose all and keep all instead
    torch.testing.assert_close(kept.float().mean(dim=0), torch.full((3,), 0.625), atol=0.02, rtol=0)


def test_what_is_missing_never_comes_back_and_a_run_of_windows_loses_a_stream_as_a_whole():
    dropout = DropoutSettings(chance=0.5).build(3)
    present = torch.rand(500, 4, 3, generator=seed()) < 0.8
    kept = dropout.draw(present, seed())
    assert not (kept & ~present).any()
    assert kept[:, -1].any(dim=1)[present[:, -1].any(dim=1)].all()
    share = (kept.sum(dim=1) == 0) | (kept.sum(dim=1) == present.sum(dim=1))
    assert share.all()


def test_the_stream_that_does_best_alone_is_left_out_most_so_the_weaker_learn_more():
    dropout = DropoutSettings(chance=0.2, balance=1.0, most=0.6).build(3)
    assert dropout.chances().tolist() == [0.2] * 3 or torch.allclose(
        dropout.chances(), torch.full((3,), 0.2)
    )
    for _ in range(50):
        dropout.observe(torch.tensor([0.1, 0.7, 0.7]))
    strong, weak, same = dropout.chances().tolist()
    assert 0.3 < strong <= 0.6
    assert weak == same < 0.2
    kept = dropout.draw(THERE, seed()).float().mean(dim=0)
    assert kept[0] < kept[1] - 0.1


def test_without_balance_all_are_alike_whatever_they_do_alone():
    dropout = DropoutSettings(chance=0.2, balance=0.0).build(2)
    dropout.observe(torch.tensor([0.1, 3.0]))
    torch.testing.assert_close(dropout.chances(), torch.full((2,), 0.2))


def test_the_largest_chance_is_a_bound():
    dropout = DropoutSettings(chance=0.3, balance=50.0, most=0.5).build(2)
    dropout.observe(torch.tensor([0.01, 3.0]))
    assert dropout.chances()[0] == 0.5


def test_a_stream_that_was_not_there_keeps_what_is_remembered_of_it():
    dropout = DropoutSettings().build(2)
    dropout.observe(torch.tensor([0.5, torch.nan]))
    torch.testing.assert_close(dropout.chances(), torch.full((2,), 0.2))  # one is not known yet
    dropout.observe(torch.tensor([0.5, 2.0]))
    before = dropout.chances()
    dropout.observe(torch.tensor([0.5, torch.nan]))
    torch.testing.assert_close(dropout.chances(), before)


def test_what_is_remembered_travels_with_the_weights():
    first, second = (DropoutSettings().build(2) for _ in range(2))
    first.observe(torch.tensor([0.1, 2.0]))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.chances(), first.chances())
