"""Zero-shot evaluation (Radford et al. 2021): top-1 accuracy by a classifier from prompts, or recall@5 of retrieval."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import parametrize

from fomo.data.card import DatasetCard
from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError, check_allowed, check_choice
from fomo.evaluation.image_cache import cache_of
from fomo.evaluation.image_key import image_key
from fomo.evaluation.images import Decoder, ImageStream
from fomo.evaluation.retrieval import recall
from fomo.evaluation.shares import of_all, own_samples
from fomo.evaluation.subset import subset_of
from fomo.evaluation.templates import (
    FILE,
    FIRST,
    TEMPLATES,
    Templates,
    beginnings,
    checked_templates,
    prompts_in_use,
    templates_in_use,
)
from fomo.evaluation.texts import TextFeatures, check_finite, encode_texts
from fomo.model.clip import ClipModel
from fomo.results.samples import Hits
from fomo.results.scores import Evaluation, NotFinished
from fomo.stream.definition import Stream
from fomo.system.runtime import Runtime

EVALUATION_SPLITS = ("test", "validation")
SUBSETS = ("none", "protocol")


@dataclass(frozen=True)
class EvaluationConfig:
    """How to evaluate.

    Args:
        split: ``test``, or ``validation`` to choose settings by: its results are marked and never ranked.
        templates: ``first`` uses one primer prompt per class, as the published numbers do; ``all`` averages features;
            ``file`` those of ``prompts``, which a path ``FILE.json`` in its place is read into (``templates.py``).
        prompts: lists of templates by dataset, with ``file`` alone.
        batch_size: images at a time.
        subset: ``protocol`` scores a fixed part of each split on the way (``subset.py``), and the first and the last
            model in full too, for the result; ``none`` scores everything each time.
        subset_seed: what the part is drawn from, whatever the run's seed.
        every_tasks: the first, every so-manieth and the last model are scored.
        every_steps: within a task the model in training is scored too, after every so many of its steps; ``None``: no.
        keep_samples: keep which samples each evaluation gets right.
    """

    split: str = "test"
    templates: str = "first"
    batch_size: int = 512
    subset: str = "none"
    subset_seed: int = 0
    every_tasks: int = 1
    every_steps: int | None = None
    keep_samples: bool = False
    prompts: Any = None

    def __post_init__(self) -> None:
        check_choice("value of evaluation.split", self.split, EVALUATION_SPLITS)
        self._check_templates()
        check_choice("value of evaluation.subset", self.subset, SUBSETS)
        for name in ("batch_size", "every_tasks"):
            check_allowed(getattr(self, name) >= 1, f"evaluation.{name}={getattr(self, name)}", "1 and above")
        steps = self.every_steps
        check_allowed(steps is None or steps >= 1, f"evaluation.every_steps={steps}", "1 and above, and null: never")

    def _check_templates(self) -> None:
        hint = "A file of `fomo prompts search` is named by its path, which ends in .json."
        check_choice("value of evaluation.templates", self.templates, TEMPLATES, hint)
        if (self.templates == FILE) != (self.prompts is not None):
            raise FomoError(
                f"evaluation.templates={self.templates} {'without' if self.prompts is None else 'with'} "
                "evaluation.prompts: give the path of a file, evaluation.templates=FILE.json, which sets both."
            )
        if self.prompts is not None:
            checked_templates(self.prompts, "evaluation.prompts")

    @property
    def templates_used(self) -> Templates:
        """What :func:`fomo.evaluation.templates.templates_in_use` asks for."""
        return self.templates if self.prompts is None else self.prompts

    def is_due(self, task: int, num_tasks: int) -> bool:
        """Whether the model is scored after ``task`` of ``num_tasks`` updates."""
        return task % self.every_tasks == 0 or task == num_tasks

    @property
    def in_full(self) -> "EvaluationConfig":
        """The same on all samples."""
        return replace(self, subset="none")

    def seen_of(self, dataset: Dataset) -> Samples:
        """What is scored of a dataset."""
        samples = dataset.split(self.split)
        return samples if self.subset == "none" else subset_of(dataset, samples, self.split, self.subset_seed)


class Scored(NamedTuple):
    """The score of a dataset in percent, and of each sample its share in [0, 1] (a hit) and its target: [n].

    ``hits`` has every query, right or not; ``recalls`` are the further ones of retrieval, in percent.
    """

    score: float
    values: np.ndarray
    targets: np.ndarray
    hits: Hits
    recalls: Mapping[str, float] = {}


def classifier(model: ClipModel, card: DatasetCard, templates: Templates, runtime: Runtime) -> Tensor:
    """Unit text features [classes, d], each the mean over the prompt templates in use."""
    prompts = prompts_in_use(card, templates)
    return classifier_of(encode_texts(model, chain(*prompts), runtime), prompts)


def classifier_of(texts: TextFeatures, prompts: Sequence[Sequence[str]]) -> Tensor:
    """Unit text features [classes, d], each the mean over prompts that are encoded: one list a template."""
    return F.normalize(torch.stack([texts.of(each) for each in prompts]).mean(dim=0), dim=-1)


def predictions(model: ClipModel, samples: Samples, weights: Tensor, batch_size: int, runtime: Runtime) -> np.ndarray:
    """The predicted class of each sample, all classes of the dataset competing: int64 [n].

    Args:
        model: the network and its preprocessing.
        samples: what is classified.
        weights: unit text features, one row a class, [classes, d].
        batch_size: images at a time.
        runtime: device, precision and workers.

    Raises:
        NotFinished: some features of images are NaN or infinite.
    """
    stream = ImageStream(Decoder(("samples",), (samples,), model.preprocess), batch_size, runtime)
    return _predictions((features for _, features in stream.features(model)), weights)


def _predictions(features: Iterable[Tensor], weights: Tensor) -> np.ndarray:
    return _judged(features, lambda each: (each @ weights.T).argmax(dim=-1)).cpu().numpy()


def _judged(features: Iterable[Tensor], judge: Callable[[Tensor], Tensor]) -> Tensor:
    """What ``judge`` makes of the features of images [k, d], all [n, …]; the device is waited for once.

    Raises:
        NotFinished: some are NaN or infinite.
    """
    made = []
    finite = []
    for each in features:
        made.append(judge(each))
        finite.append(each.isfinite().all(dim=1))
    check_finite(torch.cat(finite), "images")
    return torch.cat(made)


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
        hits = _predictions(images, classifier_of(texts, self.prompts)) == self.targets
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
        found = _judged(images, lambda each: each)
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


def scored_datasets(
    model: ClipModel, datasets: Mapping[str, Dataset], config: EvaluationConfig, runtime: Runtime
) -> Iterator[tuple[str, Scored]]:
    """The name and the score of each dataset in turn. The distinct texts of all are encoded before any image.

    Raises:
        NotFinished: the model returns features that are no numbers, which would still have a largest entry.
        FomoError: a dataset cannot be scored, as one without a task, or a retrieval set with a sample without caption.
    """
    for name, dataset in datasets.items():
        if dataset.card.kind not in KINDS:
            raise FomoError(f"dataset '{name}' is of kind '{dataset.card.kind}': it has no task to be scored on.")
    names = list(datasets)
    splits = [config.seen_of(dataset) for dataset in datasets.values()]
    tasks = [
        KINDS[each.card.kind](each, samples, config) for each, samples in zip(datasets.values(), splits, strict=True)
    ]
    model.network.eval()
    own = image_stream(model, datasets, own_samples(splits, config.batch_size), config, runtime).features(model)
    images = of_all(own, list(map(len, splits)), config.batch_size)
    with parametrize.cached(), closing(own):
        begin = dict(chain.from_iterable(task.beginnings.items() for task in tasks))
        texts = encode_texts(model, chain.from_iterable(task.texts for task in tasks), runtime, begin)
        for number, group in groupby(images, key=itemgetter(0)):
            try:
                scored = tasks[number].scored(texts, map(itemgetter(1), group))
            except NotFinished as error:
                raise NotFinished(f"'{names[number]}' is not finished: {error}") from None
            yield names[number], scored


def image_stream(
    model: ClipModel,
    datasets: Mapping[str, Dataset],
    splits: Sequence[Samples],
    config: EvaluationConfig,
    runtime: Runtime,
) -> ImageStream:
    """The images of some samples of each dataset, from the cache where they are there."""
    cache = cache_of(runtime)
    each = zip(datasets.values(), splits, strict=True)
    keys = [image_key(dataset, own, model.preprocess) if len(own) else None for dataset, own in each] if cache else ()
    decoder = Decoder(list(datasets), splits, model.preprocess)
    return ImageStream(decoder, config.batch_size, runtime, keys, cache)


def evaluate(
    model: ClipModel,
    stream: Stream,
    task: int,
    config: EvaluationConfig,
    runtime: Runtime,
    on_dataset: Callable[[str, Scored], None] = lambda name, scored: None,
) -> Evaluation:
    """Score every dataset of the stream, and the samples of each task's concepts.

    Args:
        model: The model to score; it is then in evaluation mode.
        stream: Names the datasets, and the task of each concept.
        task: How many updates came before, which the evaluation is noted under.
        config: The split, the prompt templates and the batch size.
        runtime: Device, precision and workers.
        on_dataset: Called with the name of each dataset, and what it came to, once it is scored.

    Raises:
        NotFinished: the model returns features that are NaN or infinite.
        FomoError: a dataset cannot be scored.
    """
    scores: dict[str, float] = {}
    num_samples: dict[str, int] = {}
    recalls: dict[str, Mapping[str, float]] = {}
    hits_per_task = np.zeros(len(stream.tasks) + 1)
    samples_per_task = np.zeros(len(stream.tasks) + 1)
    for name, scored in scored_datasets(model, stream.datasets, config, runtime):
        on_dataset(name, scored)
        scores[name] = scored.score
        recalls |= {name: scored.recalls} if scored.recalls else {}
        num_samples[name] = len(scored.values)
        if name in stream.adaptation:
            classed = scored.targets >= 0
            tasks = stream.class_tasks[name][scored.targets[classed]]
            hits_per_task += np.bincount(tasks, weights=scored.values[classed], minlength=len(hits_per_task))
            samples_per_task += np.bincount(tasks, minlength=len(hits_per_task))
    tasks_scored = np.flatnonzero(samples_per_task[1:]) + 1
    per_task = {int(task): float(100 * hits_per_task[task] / samples_per_task[task]) for task in tasks_scored}
    all_samples = sum(len(dataset.split(config.split)) for dataset in stream.datasets.values())
    share = sum(num_samples.values()) / all_samples
    return Evaluation(task, scores, per_task, num_samples, share, recalls=recalls)
