"""Zero-shot evaluation (Radford et al. 2021): top-1 accuracy by a classifier from prompts, or recall@5 of retrieval."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, groupby
from operator import itemgetter

import numpy as np
from torch.nn.utils import parametrize

from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.image_cache import cache_of
from fomo.evaluation.image_key import image_key
from fomo.evaluation.images import Decoder, ImageStream
from fomo.evaluation.kinds import KINDS, Scored
from fomo.evaluation.shares import of_all, own_samples
from fomo.evaluation.texts import encode_texts
from fomo.model.clip import ClipModel
from fomo.results.scores import Evaluation, NotFinished
from fomo.stream.definition import Stream
from fomo.system.runtime import Runtime


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
