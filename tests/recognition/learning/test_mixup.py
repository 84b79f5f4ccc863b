from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from backbones.registry import create
from data.errors import ArgumentError
from recognition.learning.batches import Mixer, Mixture
from recognition.learning.choices import LossName, MixupPlace
from recognition.learning.config import LossConfig, MixupConfig, TrainingConfig
from recognition.learning.reports import TrainingProgress
from recognition.learning.trainer import train

CPU = torch.device("cpu")
SOFTMAX = (LossConfig(name=LossName.SOFTMAX),)


def mixer(where: MixupPlace, alpha: float = 0.4, seed: int = 0) -> Mixer:
    return Mixer(MixupConfig(where=where, alpha=alpha), ["first", "last"], seed=seed)


def test_a_mixture_is_the_weighted_sum_of_two_photographs() -> None:
    images = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    partner = torch.tensor([2, 3, 0, 1])
    mixed = Mixture(share=0.3, partner=partner, tap=None)(images)
    for i in range(4):
        torch.testing.assert_close(mixed[i], 0.3 * images[i] + 0.7 * images[partner[i]])


def test_nothing_is_mixed_unless_asked() -> None:
    assert mixer(MixupPlace.NONE).draw(4, CPU) is None


def test_draws_follow_the_seed_and_the_papers_distribution() -> None:
    drawn = [mixer(MixupPlace.HIDDEN, seed=seed) for seed in (1, 1, 2)]
    first = [[source.draw(6, CPU) for _ in range(300)] for source in drawn]
    shares = np.array([[mixture.share for mixture in run if mixture] for run in first])
    assert np.array_equal(shares[0], shares[1])
    assert not np.array_equal(shares[0], shares[2])
    # Beta(α, α): mean 1/2, variance 1 / (4 (2 α + 1)).
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), rel=0.1)
    taps = [mixture.tap for run in first for mixture in run if mixture]
    assert {tap: taps.count(tap) / len(taps) for tap in (None, "first", "last")} == pytest.approx(
        {None: 1 / 3, "first": 1 / 3, "last": 1 / 3}, abs=0.06
    )
    for mixture in first[0]:
        assert mixture is not None
        assert sorted(mixture.partner.tolist()) == list(range(6))


def test_input_mixup_stays_at_the_input() -> None:
    source = mixer(MixupPlace.INPUT)
    assert {mixture.tap for _ in range(50) if (mixture := source.draw(3, CPU))} == {None}


def test_a_hidden_mixture_is_that_of_the_feature_maps() -> None:
    network = create("tiny", embedding_size=16, seed=1)
    images = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    mixture = Mixture(share=0.25, partner=torch.tensor([1, 2, 0]), tap="only")
    maps = network.features(images, ["only"])["only"]
    expected = mixture(maps)
    for layer in (torch.nn.Flatten(), network.fc):
        expected = layer(expected)
    torch.testing.assert_close(network.embedding(images, {"only": mixture}), expected)


@pytest.mark.parametrize("where", [MixupPlace.INPUT, MixupPlace.HIDDEN])
def test_a_run_with_mixup_learns_and_repeats(config: TrainingConfig, where: MixupPlace) -> None:
    mixed = replace(config, losses=SOFTMAX, mixup=MixupConfig(where=where), epochs=4)
    again = replace(mixed, out=config.out.with_name("again"))
    losses = [[e.train_loss for e in train(one).epochs] for one in (mixed, again)]
    assert losses[0] == losses[1]
    assert all(later < earlier for earlier, later in pairwise(losses[0][::3]))
    plain = train(replace(config, losses=SOFTMAX, out=config.out.with_name("plain"), epochs=4))
    assert losses[0] != [e.train_loss for e in plain.epochs]


def test_a_mixture_has_no_person_to_compare(config: TrainingConfig) -> None:
    mixup = MixupConfig(where=MixupPlace.INPUT)
    with pytest.raises(ArgumentError, match="mixup goes with softmax, arcface"):
        replace(config, mixup=mixup)
    with pytest.raises(ArgumentError, match="leave compile out"):
        replace(config, losses=SOFTMAX, mixup=MixupConfig(where=MixupPlace.HIDDEN), compile=True)
    with pytest.raises(ArgumentError, match=r"alpha is 0\.0: expected a number above 0"):
        MixupConfig(alpha=0.0)


def test_dropout_and_a_mixture_at_the_same_place_both_happen(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny network has one tap: with dropout, a batch mixed there is dropped from too."""
    dropped: list[float] = []
    plain = torch.nn.functional.dropout

    def noted(x: torch.Tensor, p: float = 0.5, *rest: bool, **named: bool) -> torch.Tensor:
        dropped.append(p)  # the network's own dropout, of another share, passes here too
        return plain(x, p, *rest, **named)

    monkeypatch.setattr("recognition.learning.epoch.F.dropout", noted)
    mixup = MixupConfig(where=MixupPlace.HIDDEN)
    run = replace(config, losses=SOFTMAX, mixup=mixup, dropout=0.3, epochs=2)
    steps: list[TrainingProgress] = []
    train(run, progress=lambda now: steps.append(now) if now.loss is not None else None)
    assert dropped.count(0.3) == len(steps)
