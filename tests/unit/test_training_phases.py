import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.core.errors import ModelError
from pipeline.core.sample import Modality, StreamInfo
from pipeline.models.fusion_model import FusionModel, FusionModelSettings
from pipeline.training.loop import LoopSettings, run_loop
from pipeline.training.modality_dropout import DropoutSettings
from pipeline.training.phases.alignment import AlignmentSettings, info_nce
from pipeline.training.phases.base import PHASES, Ground, Phase
from pipeline.training.phases.fine_tune import FineTuneSettings
from pipeline.training.phases.self_supervision import SelfSupervisionSettings, vicreg
from pipeline.training.retrieval import embed_rows, retrieval
from tests.model_samples import one_thread  # noqa: F401 - a fixture
from tests.toy_causes import CHANGES, causes, events, ground, network

pytestmark = pytest.mark.usefixtures("one_thread")

SECONDS = 160
KINDS = ["normal", "apart", "trembles"]
HEADS = {"anomaly": "anomaly", "kind": {"type": "classification", "classes": KINDS}}


def train(phase: Phase, steps: int) -> None:
    settings = LoopSettings(steps=steps, learning_rate=6e-3, evaluate_every=20)
    run_loop(
        phase.network, phase.loss, phase.held_out, settings, progress=lambda *_: None,
        rate=phase.rate,
    )  # fmt: skip
    phase.finish()


def first_places(on: Ground) -> tuple[float, float]:
    """Mean share of held-out windows that find their own, and by chance."""
    found = retrieval(on.model, on.normal, on.split.held, apart_s=1.5)
    assert len(found) == 2
    return (
        float(np.mean([one.recall_1 for one in found])),
        float(np.mean([one.chance_1 for one in found])),
    )


def told_of_causes(on: Ground, labelled: int) -> float:
    """R² on held-out windows of a ridge regression from a stream's vector to the causes."""
    hidden = causes(SECONDS, 0)
    hidden = np.stack(
        [hidden[5 * row : 5 * row + 20].mean(axis=0) for row in range(len(on.normal))]
    )
    few = on.split.learn[np.linspace(0, len(on.split.learn) - 1, labelled).astype(int)]
    shares = []
    for stream in range(2):
        x, y = (embed_rows(on.model, on.normal, rows)[0][:, stream].double().numpy()
                for rows in (few, on.split.held))  # fmt: skip
        x, y = (np.hstack([z, np.ones((len(z), 1))]) for z in (x, y))
        weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ hidden[few])
        wanted = hidden[on.split.held]
        error = ((y @ weights - wanted) ** 2).sum() / ((wanted - wanted.mean(axis=0)) ** 2).sum()
        shares.append(1 - error)
    return float(np.mean(shares))


def test_every_phase_can_be_named():
    assert set(PHASES.kinds()) >= {"self_supervision", "alignment", "fine_tune"}
    for kind in PHASES.kinds():
        assert PHASES.settings(kind)().model_dump()["type"] == kind


def test_self_supervision_makes_a_few_labels_go_further():
    on = ground(network(), SECONDS, noise=1.0)
    before = told_of_causes(on, labelled=30)
    torch.manual_seed(0)
    phase = SelfSupervisionSettings(batch=48, expander=32).build(on)
    loss = phase.held_out()
    train(phase, 80)
    assert phase.held_out() < 0.9 * loss
    assert told_of_causes(on, labelled=30) > max(before, 0.0) + 0.25


def test_alignment_makes_the_streams_find_each_other_in_windows_never_seen():
    on = ground(network(), SECONDS)
    before, chance = first_places(on)
    assert before < 5 * chance
    train(AlignmentSettings(batch=72).build(on), 60)
    after, _ = first_places(on)
    assert after > 0.2
    assert after > 12 * chance


def test_hard_negatives_are_near_in_time_or_as_active():
    on = ground(network(), SECONDS)
    phase = AlignmentSettings(batch=300).build(on)
    rows = phase._drawn(torch.Generator().manual_seed(0))
    moments, shifted, active = rows.reshape(3, 100)
    assert np.isin(rows, on.split.learn).all()
    away = np.abs(on.normal.index[shifted] - on.normal.index[moments]) * on.normal.hop_ns / 1e9
    assert set(away) <= {0.0, 1.5, 2.0, 2.5, 3.0}  # 0: none there
    assert (away > 0).mean() > 0.8
    level = np.abs(on.normal.inputs["a"][:, 1].numpy()).mean(axis=(1, 2))
    level += np.abs(on.normal.inputs["b"][:, 1].numpy()).mean(axis=(1, 2))
    other = np.random.default_rng(0).permutation(moments)
    assert np.abs(level[active] - level[moments]).mean() < 0.75 * np.abs(
        level[other] - level[moments]).mean()  # fmt: skip


def test_what_overlaps_a_moment_or_is_missing_is_no_negative_of_it():
    z = torch.randn(6, 2, 4, generator=torch.Generator().manual_seed(0))
    index, present = torch.tensor([0, 1, 5, 9, 14, 5]), torch.ones(6, 2, dtype=torch.bool)
    present[4, 1] = False
    wanted = []
    for asked, found in ((0, 1), (1, 0)):
        losses = []
        for own in (0, 1, 2, 3, 5):  # window 4 lacks a stream and asks nothing
            others = [k for k in range(6) if abs(index[k] - index[own]) >= 3 and present[k, found]]
            pairs = [F.cosine_similarity(z[own, asked], z[k, found], dim=0) for k in [own, *others]]
            losses.append(-torch.log_softmax(torch.stack(pairs) / 0.5, dim=0)[0])
        wanted.append(torch.stack(losses).mean())
    torch.testing.assert_close(info_nce(z, present, index, 3, 0.5), sum(wanted) / 2)
    nobody = torch.zeros_like(present)
    assert info_nce(z, nobody, index, 3, 0.5) == 0


def test_vectors_that_are_all_alike_cost_more_than_those_that_vary():
    settings = SelfSupervisionSettings()
    random = torch.randn(256, 8, generator=torch.Generator().manual_seed(0))
    same = torch.ones(256, 8)
    twice = random[:, :1].expand(-1, 8)
    assert vicreg(random, random, settings) < 2
    assert vicreg(same, same, settings) > 20
    assert vicreg(twice, twice, settings) > vicreg(random, random, settings) + 5
    assert vicreg(random, random.roll(1, 0), settings) > 20


@pytest.fixture(scope="module")
def tuned() -> tuple[dict[str, float], dict[str, float], Phase]:
    """Held-out figures before and after fine-tuning with all streams, and the phase."""
    torch.set_num_threads(1)
    on = ground(network(**{"heads": HEADS}), SECONDS, events(SECONDS))
    phase = FineTuneSettings(batch=32).build(on)
    phase.network.eval()
    before = phase.figures()
    train(phase, 100)
    return before, phase.figures(), phase


def test_fine_tuning_finds_and_names_what_the_untrained_network_did_not(tuned):
    before, after, _ = tuned
    assert before["anomaly AUROC"] < 0.6
    assert before["kinds named rightly"] < 0.5
    assert after["anomaly AUROC"] > 0.75
    assert after["kinds named rightly"] > 0.6


def test_the_anomaly_score_of_normal_is_about_one_after_fine_tuning(tuned):
    _, _, phase = tuned
    with torch.no_grad():
        usual = phase._anomaly.predict(phase._normal()).median()
    assert float(usual) == pytest.approx(1.0, abs=1e-3)


def test_encoders_are_fine_tuned_gently_and_what_joins_them_is_not():
    on = ground(network(**{"heads": HEADS}), SECONDS, events(SECONDS))
    phase = FineTuneSettings(encoder_rate=0.0, batch=16).build(on)
    before = {name: value.clone() for name, value in on.model.state_dict().items()}
    train(phase, 3)
    moved = {n for n, v in on.model.state_dict().items() if not torch.equal(v, before[n])}
    assert not any(name.startswith(("encoders", "mappers")) for name in moved)
    assert any(name.startswith("fusion") for name in moved)
    assert any(name.startswith("heads") for name in moved)


def named_with_one_missing(dropout: DropoutSettings) -> tuple[list[float], list[float]]:
    """Trembling shows in a, and a little in b: share named rightly without a, and without b.

    And the chance of each to be left out, at the end.
    """
    kind = {"type": "classification", "classes": ["normal", "trembles"]}
    model = network(**{"heads": {"anomaly": "anomaly", "kind": kind}})
    on = ground(model, SECONDS, events(SECONDS, ["trembles"]), dropout)
    phase = FineTuneSettings(batch=32, encoder_rate=1.0).build(on)
    train(phase, 60)
    found = []
    for missing in (0, 1):
        for drawn in phase._judged:
            drawn.batch.present[:] = True
            drawn.batch.present[..., missing] = False
        found.append(phase.figures()["kinds named rightly"])
    return found, phase._dropout.chances().tolist()


def test_modality_dropout_teaches_the_weak_stream_too_and_leaves_the_strong_one_out_more():
    never, _ = named_with_one_missing(DropoutSettings(chance=0.0))
    assert never[0] < 0.7  # it leant on a alone
    often, chances = named_with_one_missing(DropoutSettings(chance=0.3))
    assert min(often) > 0.85
    assert chances[0] > 2 * chances[1]


def test_alignment_of_one_stream_is_refused():
    info = StreamInfo("a", Modality.SENSOR, 10.0, (3,))
    on = ground(network())
    alone = Ground(
        FusionModel(FusionModelSettings(), (info,)), on.normal, on.split, on.augment, on.dropout
    )
    with pytest.raises(ModelError, match="two streams or more"):
        AlignmentSettings().build(alone)


def test_fine_tuning_says_what_it_lacks():
    with pytest.raises(ModelError, match="give --labels"):
        FineTuneSettings().build(ground(network(**{"heads": HEADS})))
    labels = events(SECONDS)
    with pytest.raises(ModelError, match="no head 'anomaly'"):
        FineTuneSettings().build(ground(network(), SECONDS, labels))
    with pytest.raises(ModelError, match="labelled are normal, trembles"):
        FineTuneSettings().build(
            ground(network(**{"heads": HEADS}), SECONDS, events(SECONDS, ["trembles"]))
        )
    once = [labels[1]]
    kind = {"type": "classification", "classes": ["normal", once[0].kind]}
    with pytest.raises(ModelError, match="shows an event could be"):
        FineTuneSettings().build(
            ground(network(**{"heads": {"anomaly": "anomaly", "kind": kind}}), SECONDS, once)
        )


def test_shifts_may_not_be_smaller_than_what_is_no_negative():
    with pytest.raises(ValueError, match="shift_s"):
        AlignmentSettings(apart_s=2.0, shift_s=1.0)


def test_a_stream_that_is_never_there_takes_no_part():
    on = ground(network())
    on.normal.present[:, 1] = False
    for settings in (SelfSupervisionSettings(), AlignmentSettings()):
        loss = settings.build(on).loss(0, torch.Generator().manual_seed(0))
        assert torch.isfinite(loss)
        loss.backward()
    assert CHANGES.sensor.hide == 0.0
