"""Models: the shipped ones, open_clip's, and what is refused."""

from pathlib import Path

import open_clip
import pytest
import torch
from torch import nn

from fomo.errors import FomoError
from fomo.model import weights
from fomo.model.clip import train_mode
from fomo.model.names import open_clip_names, pocket_names
from fomo.model.open_clip import pretrained_clip
from fomo.model.shipped import MERGES, pocket
from fomo.results.scores_file import read_scores
from tests import tiny


def test_names_are_open_clips_own() -> None:
    assert open_clip_names() == sorted(open_clip.list_models())
    assert pocket_names() == ["pocket", "pocket_resnet"]


@pytest.mark.parametrize("name", ["pocket_resnet", "pocket"])
def test_a_pocket_model_is_the_same_twice_and_ignores_the_global_seed(name: str) -> None:
    torch.manual_seed(1)
    first = pocket(name).network.state_dict()
    torch.manual_seed(2)
    second = pocket(name).network.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_pixels_are_normalised_per_channel() -> None:
    model = pocket("pocket")
    images = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    for channel in range(3):
        expected = (1 - model.preprocess.mean[channel]) / model.preprocess.std[channel]
        assert model.normalize(images)[0, channel, 0, 0].item() == pytest.approx(expected, rel=1e-5)


def test_train_mode_fixes_batch_norm_alone() -> None:
    network = pocket("pocket_resnet").network
    train_mode(network)
    modes = [(isinstance(module, nn.BatchNorm2d), module.training) for module in network.modules()]
    assert (True, False) in modes and all(training is not fixed for fixed, training in modes)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ViT-B-61", "Did you mean 'ViT-B-16'"),
        ("coca_ViT-B-32", "captioning decoder"),
        ("ViT-B-16-SigLIP", "sigmoid loss"),
    ],
)
def test_other_models_are_refused_with_the_reason(name: str, text: str) -> None:
    with pytest.raises(FomoError, match=text):
        pretrained_clip(name)


def test_unknown_weights_are_refused_with_the_nearest_tag() -> None:
    with pytest.raises(FomoError, match="Did you mean 'openai'"):
        pretrained_clip("RN50", "opnai")


def test_load_takes_back_what_folded_gave() -> None:
    network, other = pocket("pocket").network, pocket("pocket", initial=True).network
    weights.load(other, weights.folded(network))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("method", ["finetune", "lora_ema"])
def test_an_open_clip_model_goes_the_same_way(method: str, tmp_path: Path) -> None:
    # The smallest of open_clip's transformers, with random weights, at 64 pixels: evaluating it would take most of it.
    few = (
        "stream.adaptation=[pocket_flags+++japan,pocket_flags+++france]",
        "num_tasks=1",
        "budget=steps",
        "budget.steps=1",
        "batch_size=4",
    )
    model = ("model=ViT-S-32-alt", "model.pretrained=null", "model.image_size=64")
    run = tiny.run(tmp_path / "run", *model, f"method={method}", "evaluation=validation", *few)
    scores = read_scores(run)
    assert scores.finished and scores.caveats == ("not budgeted", "validation split", "random base")


@pytest.mark.parametrize("initial", [False, True])
def test_a_model_that_is_changed_leaves_the_next_one_as_it_is(initial: bool) -> None:
    one, other = (pocket("pocket", initial).network.token_embedding.weight for _ in range(2))
    before = other.detach().clone()
    one.data.zero_()
    third = pocket("pocket", initial).network.token_embedding.weight
    assert torch.equal(other, before) and torch.equal(third, before)


def test_every_text_has_tokens_of_the_short_vocabulary() -> None:
    model = pocket("pocket", shapes_only=True)
    texts = ["a photo of the flag of estonia", "Épicéa 日本 ☃\U0001f600", "zyzzyva-42_%", "\x00\n"]
    tokens = model.tokenize(texts)
    assert tokens.shape == (4, 32) and tokens.max() == 1023 == len(model.network.token_embedding.weight) - 1
    assert ((tokens == 1022).sum(dim=1) == 1).all() and ((tokens == 1023).sum(dim=1) == 1).all()


def test_the_short_vocabulary_is_the_beginning_of_clips_own() -> None:
    """The same pieces get the same numbers, but for the two ends of a text; only what is merged later is in pieces."""
    whole, ours = open_clip.SimpleTokenizer(), open_clip.SimpleTokenizer(str(MERGES))
    assert list(ours.encoder.items())[:-2] == list(whole.encoder.items())[:1022]
    for text in ("a photo of the ring", "estonia", "lemniscate 日本"):
        assert ours.decode(ours.encode(text)) == whole.decode(whole.encode(text))
