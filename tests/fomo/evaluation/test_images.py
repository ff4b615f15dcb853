"""Batches of one size over all datasets, and every text once."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fomo.evaluation import texts
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.images import Decoder, ImageStream, rows_of
from fomo.evaluation.templates import prompts_in_use
from fomo.evaluation.texts import encode_texts
from fomo.evaluation.zero_shot import scored_datasets
from fomo.model.shipped import pocket
from fomo.results.scores import NotFinished
from fomo.system.runtime import Runtime
from streams.pocket.datasets import open_pocket

CPU = Runtime("cpu")
NAMES = ("pocket_counting", "pocket_flags")


@pytest.fixture
def model() -> Any:
    made = pocket("pocket")
    made.network.eval()
    return made


@given(st.lists(st.integers(1, 90), min_size=1, max_size=5), st.integers(1, 40), st.integers(1, 40))
def test_pieces_hold_every_sample_once_and_lie_in_one_batch_each(sizes: list[int], batch: int, piece: int) -> None:
    before = 0
    for split, size in enumerate(sizes):
        rows = rows_of(split, size, before % batch, batch, piece)
        assert list(chain.from_iterable(range(each.start, each.stop) for each in rows)) == list(range(size))
        for each in rows:
            assert each.split == split and each.stop - each.start <= piece
            assert (before + each.start) // batch == (before + each.stop - 1) // batch
        before += size


def test_batches_go_on_from_dataset_to_dataset(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The features of each are those of its own images, as one batch of them gives."""
    sizes = []
    encode = model.network.encode_image

    def seen(images: Tensor, normalize: bool) -> Tensor:
        sizes.append(len(images))
        return encode(images, normalize)

    monkeypatch.setattr(model.network, "encode_image", seen)
    splits = [open_pocket(name).split("test") for name in NAMES]
    found: dict[int, list[Tensor]] = {0: [], 1: []}
    for split, features in ImageStream(Decoder(NAMES, splits, model.preprocess), 96, CPU).features(model):
        found[split].append(features)
    total = sum(map(len, splits))
    assert sizes == [96] * (total // 96) + [total % 96]
    for split, samples in enumerate(splits):
        whole = np.stack([model.preprocess.crop(samples.image(row)) for row in range(len(samples))])
        alone = encode(model.normalize(torch.from_numpy(whole).permute(0, 3, 1, 2)), True)
        assert torch.allclose(torch.cat(found[split]), alone, atol=1e-5)


def test_every_text_is_encoded_once_beside_others_of_its_length(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    encode = model.network.encode_text

    def seen(tokens: Tensor, normalize: bool) -> Tensor:
        batches.append((tokens != tokens[0, -1]).sum(dim=1).tolist())
        return encode(tokens, normalize)

    monkeypatch.setattr(model.network, "encode_text", seen)
    monkeypatch.setattr(texts, "TEXTS_AT_A_TIME", 16)
    cards = [open_pocket(name).card for name in NAMES]
    prompts = list(chain(*(chain(*prompts_in_use(card, "all")) for card in cards)))
    made = encode_texts(model, [*prompts, *reversed(prompts)], CPU)
    assert sum(map(len, batches)) == len(set(prompts)) and len(batches) > 2
    assert list(chain(*batches)) == sorted(chain(*batches)) and max(map(len, batches)) == 16
    expected = encode(model.tokenize(prompts), True)
    assert torch.allclose(made.of(prompts), expected, atol=1e-5)


def test_a_suite_encodes_its_texts_in_one_go(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sets of the same prompts cost what one does."""
    dataset = open_pocket("pocket_counting")
    rows = []
    encode = model.network.encode_text

    def seen(tokens: Tensor, normalize: bool) -> Tensor:
        rows.append(len(tokens))
        return encode(tokens, normalize)

    monkeypatch.setattr(model.network, "encode_text", seen)
    scored = dict(scored_datasets(model, {"one": dataset, "two": dataset}, EvaluationConfig(), CPU))
    assert sum(rows) == len(dataset.card.classes) and scored["one"].score == scored["two"].score > 0


def test_the_dataset_at_fault_is_named(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One image of the second set is broken in a batch that both share."""
    encode = model.network.encode_image

    def broken(images: Tensor, normalize: bool) -> Tensor:
        features = encode(images, normalize).clone()
        features[len(open_pocket(NAMES[0]).split("test")) + 3] = torch.nan
        return features

    monkeypatch.setattr(model.network, "encode_image", broken)
    found = scored_datasets(model, {name: open_pocket(name) for name in NAMES}, EvaluationConfig(batch_size=9999), CPU)
    assert next(found)[0] == NAMES[0]
    with pytest.raises(NotFinished, match=rf"'{NAMES[1]}' is not finished: the features of 1 of \d+ images"):
        next(found)
