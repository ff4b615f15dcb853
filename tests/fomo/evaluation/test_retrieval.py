"""Recall@5 by hand, against a NumPy oracle that sorts, and through the whole path."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from fomo.data.card import read_card
from fomo.data.importing.job import bring_in
from fomo.data.importing.reference import reference_source
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset, write_card
from fomo.errors import FomoError
from fomo.evaluation import retrieval
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.images import Decoder, ImageStream
from fomo.evaluation.retrieval import image_to_text_hits, recall, text_to_image_hits
from fomo.evaluation.texts import text_features
from fomo.evaluation.zero_shot import evaluate, scored_datasets
from fomo.stream.definition import Concept, Stream
from fomo.system.runtime import Runtime
from tests import tiny
from tests.fomo.data.test_shards import write
from tests.fomo.helpers import encoded, put

CPU = Runtime("cpu")


def one_hot(*rows: int, size: int = 8) -> Tensor:
    return torch.eye(size)[list(rows)]


def oracle(texts: np.ndarray, images: np.ndarray, owner: np.ndarray, k: int) -> tuple[list[bool], list[bool]]:
    """Sorts every list of candidates; a stable sort leaves equals in their order."""
    scores = texts @ images.T
    by_text = []
    for row, right in zip(scores, owner, strict=True):
        order = sorted(range(len(images)), key=lambda i: -row[i])
        by_text.append(right in order[:k])
    by_image = []
    for image, column in enumerate(scores.T):
        order = sorted(range(len(texts)), key=lambda i: -column[i])
        by_image.append(any(owner[i] == image for i in order[:k]))
    return by_text, by_image


@given(
    st.integers(1, 9),
    st.lists(st.integers(1, 3), min_size=1, max_size=9),
    st.integers(0, 2**31),
    st.integers(1, 6),
    st.sampled_from([1, 7, 2**24]),
)
def test_hits_are_the_oracles(size: int, captions: list[int], seed: int, k: int, block: int) -> None:
    """Small whole numbers: exact products, and many ties."""
    generator = np.random.default_rng(seed)
    images = generator.integers(-1, 2, (len(captions), size)).astype(np.float32)
    owner = np.repeat(np.arange(len(captions)), captions)[generator.permutation(sum(captions))]
    texts = generator.integers(-1, 2, (len(owner), size)).astype(np.float32)
    tensors = torch.from_numpy(texts), torch.from_numpy(images), torch.from_numpy(owner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "BLOCK_ELEMENTS", block)
        hits = [text_to_image_hits(*tensors, k).tolist(), image_to_text_hits(*tensors, k).tolist()]
    assert hits == list(oracle(texts, images, owner, k))


def test_perfect_features_score_100() -> None:
    features, owner = one_hot(*range(8)), torch.arange(8)
    score, shares, *_ = recall(features, features, owner)
    assert score == 100 and shares.tolist() == [1.0] * 8


def test_features_that_tell_nothing_apart_are_right_by_chance_as_in_classification() -> None:
    """Of 40 that score the same the first five are found, and of 40 classes the first one is taken."""
    score, shares, by_image, by_text, recalls = recall(torch.ones(40, 4), torch.ones(40, 4), torch.arange(40))
    assert (
        by_image.tolist() == by_text.tolist() == [True] * 5 + [False] * 35 and shares.tolist() == [1.0] * 5 + [0.0] * 35
    )
    assert score == recalls["image_to_text@5"] == 12.5 and recalls["text_to_image@1"] == 2.5
    assert (torch.ones(40, 4) @ torch.ones(4, 40)).argmax(dim=-1).tolist() == [0] * 40


def test_features_that_are_no_numbers_score_0() -> None:
    for number in (torch.nan, torch.inf):
        assert recall(torch.full((3, 4), number), torch.ones(3, 4), torch.arange(3))[0] == 0
    broken = one_hot(*range(8))
    broken[0] = torch.nan
    assert recall(one_hot(*range(8)), broken, torch.arange(8))[0] < 100


def test_the_score_is_the_mean_of_both_directions() -> None:
    """Picture 0 has captions that fit it and that fit picture 1; picture 1 has one that fits nothing."""
    images = one_hot(*range(8))
    texts = torch.cat([one_hot(0, 1), -torch.ones(1, 8), one_hot(*range(2, 8))])
    owner = torch.tensor([0, 0, 1, *range(2, 8)])
    by_text = text_to_image_hits(texts, images, owner, k=1)
    by_image = image_to_text_hits(texts, images, owner, k=1)
    assert by_text.tolist() == [True, False, False, *[True] * 6]
    assert by_image.tolist() == [True, False, *[True] * 6]
    score, shares, *_ = recall(texts, images, owner)
    hits = (text_to_image_hits(texts, images, owner), image_to_text_hits(texts, images, owner))
    assert score == pytest.approx(50 * sum(float(each.float().mean()) for each in hits))
    assert shares[2] == 1


def test_shares_have_the_score_as_their_mean_where_captions_are_equally_many() -> None:
    generator = torch.Generator().manual_seed(0)
    images, texts = torch.randn(30, 4, generator=generator), torch.randn(90, 4, generator=generator)
    score, shares, *_ = recall(texts, images, torch.arange(30).repeat_interleave(3))
    assert score == pytest.approx(100 * float(shares.mean())) and 0 < score < 100


def shades(folder: Path, classes: bool) -> Dataset:
    """Twelve pictures of a class each, with two captions each, as a retrieval set."""
    flags = tiny.prepared().stream.datasets["pocket_flags"]
    samples = flags.split("test")
    entries = {}
    for number in range(12):
        row = int(np.flatnonzero(samples.targets == number)[0])
        put(folder / "root" / "FLAGS" / f"{number}.png", encoded(samples.image(row)))
        texts = [prompt[samples.targets[row]] for prompt in map(flags.card.prompts, flags.card.templates[:2])]
        name = flags.card.classes[samples.targets[row]] if classes else None
        entries[f"{number}.png"] = {"classname": name, "target": number, "default_caption": texts}
    if classes:
        names = [entry["classname"] for entry in entries.values()]
        put(folder / "info" / "FLAGS_classnames.json", json.dumps(names))
    put(folder / "info" / "FLAGS_test.json", json.dumps(entries))
    bring_in(reference_source(folder / "root", folder / "info", "FLAGS"), folder / "out")
    return open_dataset(folder / "out" / "FLAGS")


@pytest.mark.parametrize("classes", [False, True])
def test_a_retrieval_set_is_scored_beside_the_others(tmp_path: Path, classes: bool, device: str) -> None:
    prepared, dataset = tiny.prepared(f"runtime.device={device}"), shades(tmp_path, classes)
    runtime = Runtime(device, "fp32")
    model = prepared.model
    tasks = (tuple(Concept("FLAGS", name) for name in dataset.card.classes[:6]),) if classes else prepared.stream.tasks
    adaptation = {"FLAGS": dataset} if classes else dict(prepared.stream.adaptation)
    retention = dict(prepared.stream.retention) | ({} if classes else {"FLAGS": dataset})
    result = evaluate(model, Stream("made up", tasks, adaptation, retention, None), 0, EvaluationConfig(), runtime)
    samples = dataset.split("test")
    stream = ImageStream(Decoder(("FLAGS",), (samples,), model.preprocess), 5, runtime)
    images = torch.cat([features for _, features in stream.features(model)]).cpu().numpy()
    texts = text_features(model, [text for row in range(12) for text in samples.captions(row)], runtime).cpu().numpy()
    owner = np.arange(12).repeat(2)
    by_text, by_image = oracle(texts, images, owner, 5)
    assert result.scores["FLAGS"] == pytest.approx(50 * (np.mean(by_text) + np.mean(by_image)))
    expected = {k: oracle(texts, images, owner, k) for k in (1, 5, 10)}
    for way, number in (("text_to_image", 0), ("image_to_text", 1)):
        for k, hits in expected.items():
            assert result.recalls["FLAGS"][f"{way}@{k}"] == pytest.approx(100 * np.mean(hits[number]))
    assert result.recalls.keys() == {"FLAGS"} and len(result.recalls["FLAGS"]) == 6
    assert 0 < result.scores["FLAGS"] < 100 and result.num_samples["FLAGS"] == 12
    if classes:
        shares = (np.array(by_image) + np.array(by_text).reshape(12, 2).mean(axis=1)) / 2
        assert result.tasks == {1: pytest.approx(100 * shares[:6].mean())}
    else:
        assert set(result.tasks) == {1, 2}


def test_what_cannot_be_retrieved_is_refused(tmp_path: Path) -> None:
    model, config = tiny.prepared().model, EvaluationConfig(split="validation")
    folder = write(tmp_path / "mine")
    for split in ("index-{}.npz", "{}-000000.tar"):
        (folder / split.format("train")).rename(folder / split.format("validation"))
    for kind, text in (("pairs", "no task"), ("retrieval", r"sample 1 of 'mine' \(validation\) has no caption")):
        card = replace(read_card(folder / "dataset.json"), num_samples={"validation": 5}, kind=kind)
        write_card(folder, card)
        with pytest.raises(FomoError, match=text):
            list(scored_datasets(model, {"mine": open_dataset(folder)}, config, CPU))
