"""What a split is scored by, for each kind of dataset: top-1 accuracy of a classifier, or recall@5 of retrieval."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError
from fomo.evaluation.classifier import classifier_of, judged, predicted
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.retrieval import recall
from fomo.evaluation.templates import (
    FIRST,
    beginnings,
    prompts_in_use,
    templates_in_use,
)
from fomo.evaluation.texts import TextFeatures
from fomo.results.samples import Hits


class Scored(NamedTuple):
    """The score of a dataset in percent, and of each sample its share in [0, 1] (a hit) and its target: [n].

    ``hits`` has every query, right or not; ``recalls`` are the further ones of retrieval, in percent.
    """

    score: float
    values: np.ndarray
    targets: np.ndarray
    hits: Hits
    recalls: Mapping[str, float] = {}


@dataclass(frozen=True)
class Classification:
    """A split whose images are told apart by class: its ``prompts``, a list a template, and its ``targets`` [n].

    ``templates`` are those of the prompts, where they are encoded beside others that begin alike.
    """

    prompts: Sequence[Sequence[str]]
    targets: np.ndarray
    templates: Sequence[str] = ()

    @property
    def texts(self) -> Iterable[str]:
        """Every string that has to be encoded."""
        return chain(*self.prompts)

    @property
    def beginnings(self) -> dict[str, str]:
        """What prompts begin with."""
        return beginnings(dict(zip(self.templates, self.prompts, strict=False)))

    def scored(self, texts: TextFeatures, images: Iterable[Tensor]) -> Scored:
        """Top-1 accuracy, and whether each sample was hit."""
        hits = predicted(images, classifier_of(texts, self.prompts)) == self.targets
        return Scored(100 * float(hits.mean()), hits, self.targets, Hits(hits))


@dataclass(frozen=True)
class Retrieval:
    """A split whose images and captions seek one another: the ``captions`` of each image, and its ``targets`` [n]."""

    captions: Sequence[Sequence[str]]
    targets: np.ndarray

    @property
    def texts(self) -> Iterable[str]:
        """Every string that has to be encoded."""
        return chain(*self.captions)

    @property
    def beginnings(self) -> dict[str, str]:
        """Captions have none in common."""
        return {}

    def scored(self, texts: TextFeatures, images: Iterable[Tensor]) -> Scored:
        """Mean of text-to-image and image-to-text recall@5, and each image's share of it."""
        known = texts.of(list(self.texts))
        owner = np.repeat(np.arange(len(self.captions)), [len(each) for each in self.captions])
        found = judged(images, lambda each: each)
        of = recall(known, found, torch.from_numpy(owner).to(found.device))
        captions = np.array(list(map(len, self.captions)), np.uint16)
        hits = Hits(of.by_image.cpu().numpy(), of.by_text.cpu().numpy(), captions)
        return Scored(of.score, of.shares.cpu().numpy(), self.targets, hits, of.recalls)


def _classification(dataset: Dataset, samples: Samples, config: EvaluationConfig) -> Classification:
    used = templates_in_use(dataset.card, config.templates_used)
    prompts = prompts_in_use(dataset.card, config.templates_used)
    return Classification(prompts, samples.targets, () if config.templates == FIRST else used)


def _retrieval(dataset: Dataset, samples: Samples, config: EvaluationConfig) -> Retrieval:
    captions = [samples.captions(index) for index in range(len(samples))]
    bare = next((index for index, texts in enumerate(captions) if not texts), None)
    if bare is not None:
        raise FomoError(
            f"sample {bare} of '{dataset.name}' ({config.split}) has no caption: retrieval needs one of each."
        )
    return Retrieval(captions, samples.targets)


Scoring: TypeAlias = Callable[[Dataset, Samples, EvaluationConfig], Classification | Retrieval]
KINDS: Mapping[str, Scoring] = {"classification": _classification, "retrieval": _retrieval}
"""What there is to do with a split, by the kind of its dataset."""
