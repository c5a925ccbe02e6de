import torch

from pipeline.models.prediction import fit_prediction, relations
from pipeline.models.settings import DetectorSettings, Evidence
from pipeline.models.together import fit_together

COUNT = 1200


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def caused(sources: torch.Tensor, noise: float = 0.4) -> torch.Tensor:
    """A stream whose first columns follow the others, and whose last are its own."""
    own = normal(len(sources), 4, seed=9)
    own[:, :2] = 0.9 * sources[:, :2] + noise * own[:, :2]
    return own


def test_what_fits_scores_low_and_the_same_from_another_time_high():
    sources = normal(COUNT, 6)
    target = caused(sources)
    learnt = fit_prediction(sources[:800], target[:800])
    fits = learnt.scores(sources[800:], target[800:])
    moved = learnt.scores(sources[800:], target[800:].roll(37, 0))
    assert fits.median() < 0 < moved.median()
    assert (moved > fits.quantile(0.95)).double().mean() > 0.6


def test_what_is_unusual_but_explained_does_not_score():
    sources = normal(COUNT, 6)
    learnt = fit_prediction(sources, caused(sources))
    loud = torch.zeros(2, 6, dtype=torch.float64)
    loud[:, 0] = 5.0
    target = torch.zeros(2, 4, dtype=torch.float64)
    target[0, 0] = 4.5  # as its cause says
    explained, silent = learnt.scores(loud, target)
    assert explained < 0 < silent


def test_streams_without_relation_teach_nothing():
    sources, target = normal(COUNT, 6), normal(COUNT, 4, seed=5)
    learnt = fit_prediction(sources, target)
    scores = learnt.scores(normal(200, 6, seed=6), normal(200, 4, seed=7))
    assert scores.abs().median() < 0.1


def test_one_far_value_does_not_rule_the_fit():
    sources = normal(COUNT, 6)
    target = caused(sources)
    spoilt = sources.clone()
    spoilt[5] = 1e6
    plain, other = fit_prediction(sources, target), fit_prediction(spoilt, target)
    torch.testing.assert_close(plain.weights, other.weights, atol=0.1, rtol=0.1)


def test_every_stream_is_predicted_from_all_others_and_from_each():
    assert relations(2) == ((0, (1,)), (1, (0,)))
    assert (1, (0, 2)) in relations(3)
    assert (2, (0,)) in relations(3)
    assert len(relations(3)) == 9
    assert relations(1) == ()


def test_a_relation_of_a_stream_that_is_away_says_nothing():
    settings = DetectorSettings(evidence=(Evidence.BETWEEN, Evidence.JOINT))
    streams = [normal(COUNT, 5), normal(COUNT, 5, seed=1), normal(COUNT, 5, seed=2)]
    seen = torch.ones(COUNT, 3, dtype=torch.bool)
    learnt = fit_together(streams, seen, settings, 16, torch.Generator().manual_seed(0))
    seen[3, 1] = False
    names = learnt.names(["a", "b", "c"])
    scores = dict(zip(names, learnt.scores(streams, seen, settings)[3], strict=True))
    alive = {name for name, score in scores.items() if not score.isnan()}
    assert alive == {"between/a|c", "between/c|a"}


def test_a_pair_hardly_seen_together_is_not_learnt():
    settings = DetectorSettings()
    streams = [normal(COUNT, 5), normal(COUNT, 5, seed=1), normal(COUNT, 5, seed=2)]
    seen = torch.ones(COUNT, 3, dtype=torch.bool)
    seen[10:, 2] = False
    learnt = fit_together(streams, seen, settings, 16, torch.Generator())
    assert learnt.names(["a", "b", "c"]) == ("between/a|b", "between/b|a")
