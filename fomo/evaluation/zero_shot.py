"""Zero-shot evaluation (Radford et al. 2021): top-1 accuracy by a classifier from prompts, or recall@5 of retrieval."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import parametrize

from fomo.data.card import DatasetCard
from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError, check_allowed, check_choice
from fomo.evaluation.retrieval import recall
from fomo.model.clip import ClipModel
from fomo.model.preprocess import Preprocess
from fomo.results.scores import Evaluation, NotFinished
from fomo.stream.definition import Stream
from fomo.system.feed import Feed
from fomo.system.runtime import Runtime

EVALUATION_SPLITS = ("test", "validation")
TEMPLATES = ("first", "all")
TEXTS_AT_A_TIME = 256


@dataclass(frozen=True)
class EvaluationConfig:
    """How to evaluate.

    Args:
        split: ``test``, or ``validation`` to choose settings by: its results are marked and never ranked.
        templates: ``first`` uses one primer prompt per class, as the published numbers do; ``all`` averages features.
        batch_size: images at a time.
    """

    split: str = "test"
    templates: str = "first"
    batch_size: int = 512

    def __post_init__(self) -> None:
        check_choice("value of evaluation.split", self.split, EVALUATION_SPLITS)
        check_choice("value of evaluation.templates", self.templates, TEMPLATES)
        check_allowed(self.batch_size >= 1, f"evaluation.batch_size={self.batch_size}", "1 and above")


class Scored(NamedTuple):
    """The score of a dataset in percent, and of each sample its share in [0, 1] (a hit) and its target: [n]."""

    score: float
    values: np.ndarray
    targets: np.ndarray


def _crops(samples: Samples, preprocess: Preprocess, rows: range) -> Tensor:
    """The images of some rows of a split as the model sees them, uint8 [n, 3, s, s]."""
    pixels = np.stack([preprocess.crop(samples.image(row)) for row in rows])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@torch.inference_mode()
def text_features(model: ClipModel, texts: Sequence[str], runtime: Runtime) -> Tensor:
    """Unit features of strings: float32 [n, d] on the device.

    Raises:
        NotFinished: some are NaN or infinite.
    """
    features = []
    for tokens in model.tokenize(list(texts)).split(TEXTS_AT_A_TIME):
        with runtime.autocast():
            features.append(model.network.encode_text(tokens.to(runtime.device), normalize=True))
    return _finite(torch.cat(features).float(), "strings")


def _finite(features: Tensor, what: str) -> Tensor:
    """The features [n, d], if all of them are numbers."""
    broken = len(features) - int(features.isfinite().all(dim=1).sum())
    if broken:
        raise NotFinished(
            f"the features of {broken} of {len(features)} {what} are NaN or infinite, though no weight is: what a part "
            "has set at the end of the task, the precision or optimizer.lr is at fault."
        )
    return features


def prompts_in_use(card: DatasetCard, templates: str) -> list[list[str]]:
    """One list of prompts a template, in the order of the classes; ``templates`` is ``first`` or ``all``."""
    used = card.templates[:1] if templates == "first" else card.templates
    return [card.prompts(template) for template in used]


def classifier(model: ClipModel, card: DatasetCard, templates: str, runtime: Runtime) -> Tensor:
    """Unit text features [classes, d], each the mean over the prompt templates in use."""
    features = [text_features(model, texts, runtime) for texts in prompts_in_use(card, templates)]
    return F.normalize(torch.stack(features).mean(dim=0), dim=-1)


def image_features(model: ClipModel, samples: Samples, batch_size: int, runtime: Runtime) -> Iterator[Tensor]:
    """Unit features of the images of a split, cropped as the model's weights ask for: float32 [b, d], batch by batch.

    Raises:
        NotFinished: some are NaN or infinite.
    """
    rows = [range(start, min(start + batch_size, len(samples))) for start in range(0, len(samples), batch_size)]
    feed = Feed(partial(_crops, samples, model.preprocess), runtime, _named)
    return (_encode(model, images, runtime) for images in feed(rows))


def _named(rows: range) -> str:
    return f"evaluation, samples {rows.start} to {rows.stop - 1}"


@torch.inference_mode()
def _encode(model: ClipModel, images: Tensor, runtime: Runtime) -> Tensor:
    with runtime.autocast():
        features = model.network.encode_image(model.normalize(images.to(runtime.device)), normalize=True)
    return _finite(features.float(), "images of a batch")


def predictions(model: ClipModel, samples: Samples, weights: Tensor, batch_size: int, runtime: Runtime) -> np.ndarray:
    """The predicted class of each sample, all classes of the dataset competing: int64 [n].

    Args:
        model: the network and its preprocessing.
        samples: what is classified.
        weights: unit text features, one row a class, [classes, d].
        batch_size: images at a time.
        runtime: device, precision and workers.
    """
    batches = image_features(model, samples, batch_size, runtime)
    return np.concatenate([(features @ weights.T).argmax(dim=-1).cpu().numpy() for features in batches])


def classification(model: ClipModel, dataset: Dataset, config: EvaluationConfig, runtime: Runtime) -> Scored:
    """Top-1 accuracy of a dataset, and whether each sample was hit."""
    samples = dataset.split(config.split)
    weights = classifier(model, dataset.card, config.templates, runtime)
    hits = predictions(model, samples, weights, config.batch_size, runtime) == samples.targets
    return Scored(100 * float(hits.mean()), hits, samples.targets)


def retrieval(model: ClipModel, dataset: Dataset, config: EvaluationConfig, runtime: Runtime) -> Scored:
    """Mean of text-to-image and image-to-text recall@5 of a dataset, and each image's share of it.

    Raises:
        FomoError: a sample has no caption.
    """
    samples = dataset.split(config.split)
    captions = [samples.captions(index) for index in range(len(samples))]
    bare = next((index for index, texts in enumerate(captions) if not texts), None)
    if bare is not None:
        raise FomoError(
            f"sample {bare} of '{dataset.name}' ({config.split}) has no caption: retrieval needs one of each."
        )
    owner = torch.tensor([index for index, texts in enumerate(captions) for _ in texts], device=runtime.device)
    texts = text_features(model, [text for texts in captions for text in texts], runtime)
    images = torch.cat(list(image_features(model, samples, config.batch_size, runtime)))
    score, values = recall(texts, images, owner)
    return Scored(score, values.cpu().numpy(), samples.targets)


SCORERS = {"classification": classification, "retrieval": retrieval}


def scored_datasets(
    model: ClipModel, datasets: Mapping[str, Dataset], config: EvaluationConfig, runtime: Runtime
) -> Iterator[tuple[str, Scored]]:
    """The name and the score of each dataset in turn.

    Raises:
        NotFinished: the model returns features that are no numbers, which would still have a largest entry.
        FomoError: a dataset cannot be scored.
    """
    model.network.eval()
    with parametrize.cached():
        for name, dataset in datasets.items():
            if dataset.card.kind not in SCORERS:
                raise FomoError(f"dataset '{name}' is of kind '{dataset.card.kind}': it has no task to be scored on.")
            try:
                scored = SCORERS[dataset.card.kind](model, dataset, config, runtime)
            except NotFinished as error:
                raise NotFinished(f"'{name}' is not finished: {error}") from None
            yield name, scored


def evaluate(
    model: ClipModel,
    stream: Stream,
    task: int,
    config: EvaluationConfig,
    runtime: Runtime,
    on_dataset: Callable[[str], None] = lambda name: None,
) -> Evaluation:
    """Score every dataset of the stream, and the samples of each task's concepts.

    Args:
        model: The model to score; it is then in evaluation mode.
        stream: Names the datasets, and the task of each concept.
        task: How many updates came before, which the evaluation is noted under.
        config: The split, the prompt templates and the batch size.
        runtime: Device, precision and workers.
        on_dataset: Called with the name of each dataset once it is scored.

    Raises:
        NotFinished: the model returns features that are NaN or infinite.
        FomoError: a dataset cannot be scored.
    """
    scores: dict[str, float] = {}
    num_samples: dict[str, int] = {}
    hits_per_task = np.zeros(len(stream.tasks) + 1)
    samples_per_task = np.zeros(len(stream.tasks) + 1)
    for name, scored in scored_datasets(model, stream.datasets, config, runtime):
        on_dataset(name)
        scores[name] = scored.score
        num_samples[name] = len(scored.values)
        if name in stream.adaptation:
            classed = scored.targets >= 0
            tasks = stream.class_tasks[name][scored.targets[classed]]
            hits_per_task += np.bincount(tasks, weights=scored.values[classed], minlength=len(hits_per_task))
            samples_per_task += np.bincount(tasks, minlength=len(hits_per_task))
    tasks_scored = np.flatnonzero(samples_per_task[1:]) + 1
    per_task = {int(task): float(100 * hits_per_task[task] / samples_per_task[task]) for task in tasks_scored}
    return Evaluation(task, scores, per_task, num_samples)
