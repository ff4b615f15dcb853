"""What a base model knows of concepts: their text embeddings, its accuracy on them, and how near their images are."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fomo.data.card import DatasetCard
from fomo.data.joined import Joined, SplitPart
from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError
from fomo.evaluation.classifier import classifier, predictions
from fomo.evaluation.images import Decoder, ImageStream
from fomo.evaluation.texts import check_finite, text_features
from fomo.model.clip import ClipModel
from fomo.stream.definition import Concept
from fomo.system.runtime import Runtime

TEMPLATE = "a photo of a {}."
"""CLIP's own prompt (Radford et al. 2021), for datasets that are not there to say theirs."""
BATCH = 256


def prompts(concepts: Sequence[Concept], datasets: Mapping[str, Dataset]) -> list[str]:
    """The primer prompt of each concept; CLIP's own prompt where its dataset is not among ``datasets``."""
    known: dict[Concept, str] = {}
    for name, dataset in datasets.items():
        card = _with_template(dataset.card)
        texts = card.prompts(card.templates[0])
        known |= {Concept(name, label): text for label, text in zip(card.classes, texts, strict=True)}
    return [known.get(concept) or TEMPLATE.replace("{}", concept.name) for concept in concepts]


def concept_features(
    model: ClipModel, concepts: Sequence[Concept], datasets: Mapping[str, Dataset], runtime: Runtime
) -> np.ndarray:
    """Unit embeddings of the concepts' prompts: float32 [n, d].

    Args:
        model: the base model, on its device.
        concepts: n of them.
        datasets: those of them that are there, for their prompts.
        runtime: device and precision.
    """
    model.network.eval()
    # In half precision they are normalised to three digits only.
    return F.normalize(text_features(model, prompts(concepts, datasets), runtime), dim=-1).cpu().numpy()


Score = Callable[[ClipModel, Samples, Tensor, Runtime], np.ndarray]
"""Of samples, and the unit text features of their dataset's classes [classes, d], a value each: [n]."""


def hits(model: ClipModel, samples: Samples, weights: Tensor, runtime: Runtime) -> np.ndarray:
    """Whether each sample is told by its class, all classes competing: bool [n]. The mean is zero-shot accuracy."""
    return predictions(model, samples, weights, BATCH, runtime) == samples.targets


def cosines(model: ClipModel, samples: Samples, weights: Tensor, runtime: Runtime) -> np.ndarray:
    """The cosine of each image with the prompt of its own class, from −1 to 1: float64 [n].

    No other class competes: unlike an accuracy the mean is continuous, and a class that is told apart badly may be
    near.

    Raises:
        NotFinished: some features of images are NaN or infinite.
    """
    stream = ImageStream(Decoder(("samples",), (samples,), model.preprocess), BATCH, runtime)
    targets = torch.from_numpy(samples.targets).to(weights.device)
    found: list[Tensor] = []
    for _, features in stream.features(model):
        seen = sum(map(len, found))
        found.append((features * weights[targets[seen : seen + len(features)]]).sum(dim=-1))
    joined = torch.cat(found)
    check_finite(joined.isfinite(), "images")
    return joined.double().cpu().numpy()


def concept_means(
    score: Score,
    model: ClipModel,
    concepts: Sequence[Concept],
    datasets: Mapping[str, Dataset],
    per_class: int,
    runtime: Runtime,
    on_dataset: Callable[[str], None] = lambda name: None,
) -> np.ndarray:
    """The mean of a score over the images of each concept: float64 [n].

    Of prompts there is the primer one of each class of the dataset. Training samples are scored, because test data
    chooses nothing.

    Args:
        score: :func:`hits` or :func:`cosines`.
        model: the base model, on its device.
        concepts: n of them.
        datasets: by name; all datasets of the concepts are there.
        per_class: how many of the first training samples of a class are scored.
        runtime: device and precision.
        on_dataset: called with the name of each dataset before it is scored.

    Raises:
        FomoError: a concept has no training sample.
        NotFinished: some features of images are NaN or infinite.
    """
    return _known(concepts, _means(score, model, _named(concepts, datasets), per_class, runtime, on_dataset))


def _named(concepts: Sequence[Concept], datasets: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """The datasets of the concepts, by name."""
    return {name: datasets[name] for name in sorted({concept.dataset for concept in concepts})}


def _known(concepts: Sequence[Concept], values: Iterator[tuple[Concept, float]]) -> np.ndarray:
    """The value of each concept; one without is refused."""
    of = dict(values)
    found = np.array([of.get(concept, np.nan) for concept in concepts])
    if np.isnan(found).any():
        first = concepts[int(np.isnan(found).argmax())]
        raise FomoError(f"'{first}' has no training sample: `fomo stream verify` lists such concepts.")
    return found


def _with_template(card: DatasetCard) -> DatasetCard:
    """The card, with CLIP's own prompt where it has none, as retrieval sets may."""
    return card if card.templates else dataclasses.replace(card, templates=(TEMPLATE,))


def _means(
    score: Score,
    model: ClipModel,
    datasets: Mapping[str, Dataset],
    per_class: int,
    runtime: Runtime,
    on_dataset: Callable[[str], None],
) -> Iterator[tuple[Concept, float]]:
    """The mean of a score over the first training samples of every class that has any."""
    model.network.eval()
    for name, dataset in datasets.items():
        on_dataset(name)
        split = dataset.split("train")
        samples = Joined((SplitPart(split, first_per_class(split.targets, per_class)),))
        weights = classifier(model, _with_template(dataset.card), "first", runtime)
        values = score(model, samples, weights, runtime)
        totals = np.bincount(samples.targets, minlength=len(dataset.card.classes))
        sums = np.bincount(samples.targets, weights=values, minlength=len(dataset.card.classes))
        for index in np.flatnonzero(totals):
            yield Concept(name, dataset.card.classes[index]), float(sums[index] / totals[index])


def first_per_class(targets: np.ndarray, count: int) -> np.ndarray:
    """Rows of the first ``count`` samples of every class, in order; samples without class are left out."""
    order = np.argsort(targets, kind="stable")
    ordered = targets[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return np.sort(order[(place < count) & (ordered >= 0)])
