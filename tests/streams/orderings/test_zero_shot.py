"""What a model knows of concepts: the same numbers as evaluation gives."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fomo.data.samples import Dataset
from fomo.errors import FomoError
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.zero_shot import evaluate
from fomo.model.clip import ClipModel
from fomo.model.shipped import pocket
from fomo.results.scores import NotFinished
from fomo.stream.definition import Concept, Stream
from fomo.system.runtime import Runtime
from streams import open_named
from streams.orderings.zero_shot import concept_features, concept_means, cosines, first_per_class, hits, prompts
from tests.streams.helpers import shards

RUNTIME = Runtime(device="cpu")


@pytest.fixture(scope="module")
def model() -> ClipModel:
    return pocket("pocket")


def test_features_are_unit_vectors_one_per_concept(model: ClipModel) -> None:
    concepts = [Concept(dataset, name) for dataset, name in (("a", "cat"), ("a", "dog"), ("b", "cat"))]
    features = concept_features(model, concepts, {}, RUNTIME)
    assert features.shape == (3, 128) and np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    assert np.allclose(features[0], features[2], atol=1e-6) and not np.allclose(features[0], features[1], atol=1e-2)


def test_prompts_are_the_datasets_where_it_is_there() -> None:
    flags = open_named("pocket_flags", Path("data"))
    texts = prompts([Concept("pocket_flags", "japan"), Concept("gone", "cat")], {"pocket_flags": flags})
    assert texts == [flags.card.templates[0].replace("{}", "japan"), "a photo of a cat."]


def test_accuracies_are_those_of_evaluation(model: ClipModel, tmp_path: Path) -> None:
    """Over all images, the mean over classes of one size is the dataset's accuracy."""
    dataset = open_named("pocket_solids", tmp_path)
    concepts = tuple(Concept("pocket_solids", name) for name in dataset.card.classes)
    shares = concept_means(hits, model, concepts, {"pocket_solids": dataset}, 10_000, RUNTIME)
    training = dataset.split("train")
    card = dataclasses.replace(dataset.card, num_samples={"test": len(training)})
    stream = Stream("training data", (concepts,), {"pocket_solids": Dataset(card, lambda split: training)}, {}, None)
    scores = evaluate(model, stream, 0, EvaluationConfig(), RUNTIME).scores
    assert 100 * shares.mean() == pytest.approx(scores["pocket_solids"], abs=1e-9)
    assert len(set(shares)) > 2


def test_a_few_images_per_class_are_enough_if_asked(model: ClipModel, tmp_path: Path) -> None:
    dataset = open_named("pocket_solids", tmp_path)
    concepts = [Concept("pocket_solids", name) for name in dataset.card.classes]
    shares = concept_means(hits, model, concepts, {"pocket_solids": dataset}, 4, RUNTIME)
    assert set(shares) <= {0, 0.25, 0.5, 0.75, 1}


def test_alignments_are_the_mean_cosines_of_images_with_their_own_prompt(model: ClipModel, tmp_path: Path) -> None:
    """Against one product of all images of a class, encoded at once, with the prompt's features."""
    dataset = open_named("pocket_solids", tmp_path)
    concepts = [Concept("pocket_solids", name) for name in dataset.card.classes]
    found = concept_means(cosines, model, concepts[::-1], {"pocket_solids": dataset}, 7, RUNTIME)[::-1]
    training = dataset.split("train")
    texts = concept_features(model, concepts, {"pocket_solids": dataset}, RUNTIME)
    for index, value in enumerate(found):
        rows = np.flatnonzero(training.targets == index)[:7]
        pixels = np.stack([model.preprocess.crop(training.image(int(row))) for row in rows])
        with torch.inference_mode():
            features = model.network.encode_image(model.normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2))).numpy()
        own = features @ texts[index] / np.linalg.norm(features, axis=1)
        assert value == pytest.approx(float(own.mean()), abs=1e-5)
    assert len(set(found)) == len(found), "it is continuous"


def test_a_model_that_is_not_finite_has_no_alignment(model: ClipModel, tmp_path: Path) -> None:
    spoilt = dataclasses.replace(model, network=copy.deepcopy(model.network))
    with torch.no_grad():
        next(spoilt.network.visual.parameters()).fill_(torch.nan)
    dataset = open_named("pocket_solids", tmp_path)
    with pytest.raises(NotFinished):
        concept_means(cosines, spoilt, [Concept("pocket_solids", "cube")], {"pocket_solids": dataset}, 1, RUNTIME)


def test_a_retrieval_dataset_without_prompts_is_asked_by_clips_own(model: ClipModel, tmp_path: Path) -> None:
    dataset = open_named("pocket_solids", tmp_path)
    concepts = [Concept("pocket_solids", name) for name in dataset.card.classes]
    clips = dataclasses.replace(dataset.card, templates=("a photo of a {}.",))
    bare = dataclasses.replace(dataset.card, templates=(), kind="retrieval")
    asked, given = (
        concept_means(hits, model, concepts, {"pocket_solids": Dataset(card, dataset.open_split)}, 20, RUNTIME)
        for card in (bare, clips)
    )
    assert asked.tolist() == given.tolist() and asked.max() > 0


def test_a_concept_without_training_samples_is_named(model: ClipModel, tmp_path: Path) -> None:
    shards(tmp_path, "birds", {"train": [("owl", 1)], "test": [("owl", 2), ("emu", 3)]})
    birds = open_named("birds", tmp_path)
    concepts = [Concept("birds", "owl"), Concept("birds", "emu")]
    for score in (hits, cosines):
        with pytest.raises(FomoError, match=r"'birds\+\+\+emu' has no training sample"):
            concept_means(score, model, concepts, {"birds": birds}, 5, RUNTIME)


def test_rows_of_a_class_are_its_first() -> None:
    targets = np.array([2, 0, 2, -1, 2, 1, 0, 2])
    assert first_per_class(targets, 2).tolist() == [0, 1, 2, 5, 6]
    assert first_per_class(targets, 1).tolist() == [0, 1, 5]
    assert first_per_class(targets, 9).tolist() == [0, 1, 2, 4, 5, 6, 7]
