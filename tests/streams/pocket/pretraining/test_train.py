"""Pretraining: the masked loss by hand, and equal bytes from equal recipes."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fomo.model.names import pocket_names
from fomo.model.shipped import pocket
from streams.pocket.pretraining.train import (
    Pairs,
    batches,
    grouped_order,
    make_optimizer,
    masked_contrastive,
    read_pool,
    same_pairs,
    shifted,
)
from tests.streams.pocket.pretraining.short import SHORT, written

models = pytest.mark.parametrize("name", pocket_names())


@models
def test_equal_recipes_give_equal_bytes(name: str, tmp_path: Path) -> None:
    first = written(tmp_path / "first", name, SHORT)
    # Whatever was drawn from the global generator in between must not matter.
    torch.rand(3)
    assert written(tmp_path / "again", name, SHORT) == first
    assert written(tmp_path / "other", name, dataclasses.replace(SHORT, seed=1)) != first
    card = (tmp_path / "first" / "card.json").read_bytes()
    assert (tmp_path / "again" / "card.json").read_bytes() == card


def test_masked_loss_by_hand() -> None:
    similarity = torch.tensor([[2.0, 1.0, 0.5, 0.0], [0.3, 1.5, 0.2, 0.1], [1.0, 0.4, 0.9, 0.6], [0.2, 0.8, 0.7, 3.0]])
    targets = torch.tensor([5, 7, 5, 9])
    expected = 0.0
    for one in range(4):
        rivals = [other for other in range(4) if other == one or targets[other] != targets[one]]
        for scores in (similarity[one], similarity[:, one]):
            total = sum(math.exp(scores[rival].item()) for rival in rivals)
            expected -= math.log(math.exp(scores[one].item()) / total)
    assert masked_contrastive(similarity, targets[:, None] == targets).item() == pytest.approx(expected / 8, rel=1e-6)


def test_pairs_of_one_concept_are_no_negatives() -> None:
    similarity = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = masked_contrastive(similarity, torch.ones(3, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert similarity.grad is not None
    assert not similarity.grad.any()


def test_pairs_are_the_same_by_concept_or_by_text() -> None:
    nothing = torch.zeros(0)
    pairs = Pairs(nothing, nothing, torch.tensor([0, 1, 0, 2]), torch.tensor([4, 4, 5, 6]))
    same = same_pairs(pairs).tolist()
    assert same == [
        [True, True, True, False],
        [True, True, False, False],
        [True, False, True, False],
        [False] * 3 + [True],
    ]


@pytest.mark.parametrize("group", [1, 3, 4])
def test_runs_of_one_family_stand_together_and_no_sample_twice(group: int) -> None:
    families = np.repeat([0, 1, 2], [8, 4, 12])
    order = grouped_order(np.random.default_rng(0), families, group)
    assert len(order) == len(families) and len(set(order.tolist())) == len(order)
    assert not np.array_equal(order, grouped_order(np.random.default_rng(1), families, group))
    runs = families[order].reshape(-1, group)
    mixed = sum(len(set(run.tolist())) > 1 for run in runs)
    assert mixed <= (0 if group in (1, 4) else 2)
    assert len(grouped_order(np.random.default_rng(0), families, 5)) == 20


def test_shifts_repeat_the_edge() -> None:
    images = torch.arange(2 * 4 * 4 * 3, dtype=torch.uint8).view(2, 4, 4, 3)
    moved = shifted(images, torch.tensor([1, 0]), torch.tensor([[[0], [1]], [[0], [-2]]]))
    assert torch.equal(moved[0], images[1].permute(2, 0, 1))
    expected = images[0][[1, 2, 3, 3]][:, [0, 0, 0, 1]]
    assert torch.equal(moved[1], expected.permute(2, 0, 1))


def test_an_epoch_shows_each_sample_at_most_once() -> None:
    from streams.pocket.datasets import open_pool

    recipe = dataclasses.replace(SHORT, batch_size=24, shift=0)
    pool = read_pool(open_pool(64), pocket("pocket", initial=True).tokenize)
    stream = batches(pool, recipe)
    shown = [pairs.images for pairs, _ in zip(stream, range(4), strict=False)]
    epochs = [torch.cat(shown[:2]).flatten(1), torch.cat(shown[2:]).flatten(1)]
    assert all(len(epoch.unique(dim=0)) == 48 for epoch in epochs)
    assert not torch.equal(*epochs)


def test_a_batch_keeps_image_text_and_concept_together() -> None:
    from streams.pocket.datasets import open_pool

    samples, model = open_pool(64), pocket("pocket", initial=True)
    pairs = next(batches(read_pool(samples, model.tokenize), dataclasses.replace(SHORT, shift=0)))
    known = {samples.image(index).tobytes(): index for index in range(64)}
    for row in range(SHORT.batch_size):
        index = known[pairs.images[row].permute(1, 2, 0).numpy().tobytes()]
        assert torch.equal(pairs.tokens[pairs.texts[row]], model.tokenize(samples.captions(index))[0])
        assert pairs.targets[row] == samples.targets[index]


def test_only_matrices_decay() -> None:
    network = pocket("pocket", initial=True).network
    decayed, free = make_optimizer(network, SHORT).param_groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert all(parameter.ndim >= 2 and "embedding" not in names[id(parameter)] for parameter in decayed["params"])
    assert "token_embedding.weight" in {names[id(parameter)] for parameter in free["params"]}


def test_learning_rate_by_hand() -> None:
    recipe = dataclasses.replace(SHORT, steps=110, warmup=10 / 110, lr=1.0)
    assert [recipe.learning_rate(step) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert recipe.learning_rate(60) == pytest.approx(0.5)
    assert 0 < recipe.learning_rate(109) < 1e-3
