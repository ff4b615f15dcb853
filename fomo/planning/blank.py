"""A task of blank data, for steps that are taken to learn of the method and the machine, not to train."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial

import torch

from fomo.batch import Batch, cut_at
from fomo.config.schema import Config
from fomo.data.drawn import Source
from fomo.method import Task
from fomo.model.clip import ClipModel
from fomo.model.fast import lengths
from fomo.stream.definition import NO_NAMES, StreamNames
from fomo.stream.mixture import Counts
from fomo.system.ranks import world
from fomo.training.step import Learner


def blank_task(
    config: Config,
    model: ClipModel,
    learner: Learner,
    number: int,
    num_steps: int,
    size: int,
    names: StreamNames = NO_NAMES,
) -> Task:
    """A task with all that a hook may ask for; D_t has ``size`` rows.

    Args:
        config: Says how many tasks there are, and on which device.
        model: What is trained.
        learner: Takes the steps.
        number: The task's, from 1.
        num_steps: Steps of the task.
        size: Rows of a batch, and of D_t.
        names: Datasets and concepts of the tasks.
    """
    return learner.task(
        number,
        config.num_tasks,
        num_steps,
        config.seed,
        num_update_samples=size,
        datasets=names.datasets,
        concepts=names.until(number),
        update_batches=partial(_once, model, config.runtime.device, size),
    )


def _once(model: ClipModel, device: str, total: int, size: int, max_samples: int | None = None) -> Iterator[Batch]:
    """D_t of ``total`` rows in batches of at most ``size``."""
    for start in range(0, min(total, max_samples or total), size):
        yield blank_batch(model, device, (0, min(size, total - start), 0))


def blank_forms(model: ClipModel, device: str, sizes: Collection[int]) -> Iterator[Batch]:
    """A blank batch of each size and each length of text that a network may compute in its place."""
    for size in sizes:
        batch = blank_batch(model, device, (0, size, 0))
        for length in lengths(model.network, batch.tokens.shape[1]):
            yield replace(batch, cut=cut_at(length, batch.tokens))


def blank_batch(model: ClipModel, device: str, counts: Counts) -> Batch:
    """Rows of the first sample of the first concept, as noise, with empty captions; of a run's ranks, each has its own.

    Args:
        model: Says how large images and texts are.
        device: Where the batch lies.
        counts: The rows of each pool, of all ranks.
    """
    own = world().share(counts)
    size = sum(own)
    length: int = model.network.context_length
    return Batch(
        torch.randn(size, 3, model.image_size, model.image_size, device=device),
        torch.zeros(size, length, dtype=torch.long, device=device),
        (own[0], own[1], own[2]),
        sources=torch.zeros(size, len(Source._fields), dtype=torch.long, device=device),
        whole=counts,
    )
