"""Pretraining: the masked loss by hand, equal bytes from equal recipes, and what the shipped cards promise."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fomo.cli.pretrain import main, parse, recipe_with
from fomo.errors import FomoError
from fomo.model.names import MODELS, pocket_names
from fomo.model.shipped import EMBEDDING, compact, pocket
from streams.pocket.pretraining.card import WEIGHTS, write_model
from streams.pocket.pretraining.train import (
    PretrainingRecipe,
    batches,
    make_optimizer,
    masked_contrastive,
    pretrain,
    read_pool,
    shifted,
    shipped_recipe,
)

SHORT = PretrainingRecipe(num_samples=64, steps=3, batch_size=16, lr=1e-3, weight_decay=0.1, warmup=0.1, shift=2)
models = pytest.mark.parametrize("name", pocket_names())


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOMO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def written(folder: Path, name: str, recipe: PretrainingRecipe) -> bytes:
    write_model(folder, pretrain(name, recipe), recipe, lambda model: {})
    return (folder / WEIGHTS).read_bytes()


@models
def test_equal_recipes_give_equal_bytes(name: str, tmp_path: Path) -> None:
    first = written(tmp_path / "first", name, SHORT)
    # Whatever was drawn from the global generator in between must not matter.
    torch.rand(3)
    assert written(tmp_path / "again", name, SHORT) == first
    assert written(tmp_path / "other", name, dataclasses.replace(SHORT, seed=1)) != first
    card = (tmp_path / "first" / "card.json").read_bytes()
    assert (tmp_path / "again" / "card.json").read_bytes() == card


def test_a_written_model_is_whole(tmp_path: Path) -> None:
    weights = written(tmp_path, "pocket", SHORT)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["sha256"] == hashlib.sha256(weights).hexdigest()
    assert card["data"]["num_samples"] == SHORT.num_samples
    assert card["recipe"] == json.loads((tmp_path / "recipe.json").read_text()) == dataclasses.asdict(SHORT)
    assert (tmp_path / "config.json").read_bytes() == (MODELS / "pocket" / "config.json").read_bytes()


@models
def test_the_compact_file_holds_the_rounded_weights(name: str, tmp_path: Path) -> None:
    trained, initial = pretrain(name, SHORT), pocket(name, initial=True)
    write_model(tmp_path, trained, SHORT, lambda model: {})
    loaded = pocket(name, folder=tmp_path).network.state_dict()
    before, after = initial.network.state_dict()[EMBEDDING], trained.network.state_dict()[EMBEDDING]
    rows = (before != after).any(dim=1)
    assert 0 < rows.sum() < 100
    assert torch.equal(loaded[EMBEDDING][~rows], before[~rows])
    assert torch.equal(loaded[EMBEDDING][rows], after[rows].half().float())
    for key, value in trained.network.state_dict().items():
        if key != EMBEDDING and value.is_floating_point():
            assert torch.equal(loaded[key], value.half().float()), key


def test_storing_a_loaded_model_again_changes_nothing(tmp_path: Path) -> None:
    write_model(tmp_path, pretrain("pocket", SHORT), SHORT, lambda model: {})
    stored, again = load_file(tmp_path / WEIGHTS), compact(pocket("pocket", folder=tmp_path).network)
    assert stored.keys() == again.keys()
    assert all(torch.equal(stored[key], again[key]) for key in stored)


def test_masked_loss_by_hand() -> None:
    similarity = torch.tensor([[2.0, 1.0, 0.5, 0.0], [0.3, 1.5, 0.2, 0.1], [1.0, 0.4, 0.9, 0.6], [0.2, 0.8, 0.7, 3.0]])
    targets = torch.tensor([5, 7, 5, 9])
    expected = 0.0
    for one in range(4):
        rivals = [other for other in range(4) if other == one or targets[other] != targets[one]]
        for scores in (similarity[one], similarity[:, one]):
            total = sum(math.exp(scores[rival].item()) for rival in rivals)
            expected -= math.log(math.exp(scores[one].item()) / total)
    assert masked_contrastive(similarity, targets).item() == pytest.approx(expected / 8, rel=1e-6)


def test_pairs_of_one_concept_are_no_negatives() -> None:
    similarity = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = masked_contrastive(similarity, torch.zeros(3, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0
    assert similarity.grad is not None
    assert not similarity.grad.any()


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
    network = pocket("pocket_vit", initial=True).network
    decayed, free = make_optimizer(network, SHORT).param_groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert all(parameter.ndim >= 2 and "embedding" not in names[id(parameter)] for parameter in decayed["params"])
    assert EMBEDDING in {names[id(parameter)] for parameter in free["params"]}


def test_learning_rate_by_hand() -> None:
    recipe = dataclasses.replace(SHORT, steps=110, warmup=10 / 110, lr=1.0)
    assert [recipe.learning_rate(step) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert recipe.learning_rate(60) == pytest.approx(0.5)
    assert 0 < recipe.learning_rate(109) < 1e-3


@models
def test_shipped_files_are_those_of_the_card(name: str) -> None:
    card = json.loads((MODELS / name / "card.json").read_text())
    assert card["sha256"] == hashlib.sha256((MODELS / name / WEIGHTS).read_bytes()).hexdigest()
    assert card["recipe"] == json.loads((MODELS / name / "recipe.json").read_text())
    assert card["recipe"] == dataclasses.asdict(shipped_recipe(name))
    assert card["config"] == json.loads((MODELS / name / "config.json").read_text())
    assert (card["schema"], card["name"]) == ("fomo.model/1", name)


@models
def test_shipped_models_know_the_pool_and_not_the_adaptation_sets(name: str) -> None:
    scores = json.loads((MODELS / name / "card.json").read_text())["scores"]
    for split in ("test", "validation"):
        assert scores[split]["mean_retention"] > 60
        assert scores[split]["mean_adaptation"] < 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=pockets"], "Did you mean 'pocket'"),
        (["stepz=3"], "Did you mean 'steps'"),
        (["steps"], "KEY=VALUE"),
        (["steps=many"], "steps"),
        (["steps=0"], "1 and above"),
        (["lr=nan"], "above 0"),
        (["num_samples=9"], "batch_size"),
    ],
)
def test_mistakes_are_refused_before_any_work(arguments: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=words):
        main([*arguments, f"out={tmp_path / 'model'}"])
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(FomoError, match="not empty"):
        main([f"out={tmp_path}"])
    with pytest.raises(FomoError, match="cannot be made"):
        main([f"out={tmp_path / 'kept' / 'below'}"])


def test_settings_change_the_shipped_recipe() -> None:
    recipe = recipe_with("pocket", parse(["steps=7", "lr=1e-4"]))
    assert recipe == dataclasses.replace(shipped_recipe("pocket"), steps=7, lr=1e-4)
