"""What scores measure, as a hash: where it moves, scores cannot be compared, and the score version has to be raised."""

import hashlib
from typing import Any

import numpy as np

from fomo.data.samples import Dataset
from fomo.evaluation import subset
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.templates import prompts_in_use
from fomo.stream.definition import Stream
from fomo.system.digest import json_digest


def measured_sha256(stream: Stream, config: EvaluationConfig) -> str:
    """Hash of every dataset's role, kind, metric, classes and prompts in use, and of the class of each scored sample.

    The rule of the subset is in it where scores on the way are of one. Images and captions are not: they are in the
    hash of the stream's data.
    """
    on_subset = config.subset != "none"
    rule = [subset.SMALLEST, subset.PER_CLASS, subset.ONE_IN, config.subset_seed] if on_subset else []
    held_out = {name: name not in stream.adaptation for name in stream.datasets}
    datasets = {name: _measured(dataset, config) for name, dataset in stream.datasets.items()}
    return json_digest([held_out, datasets, config.split, rule])


def _measured(dataset: Dataset, config: EvaluationConfig) -> list[Any]:
    card = dataset.card
    prompts = prompts_in_use(card, config.templates_used) if card.kind == "classification" else []
    targets = np.ascontiguousarray(dataset.split(config.split).targets, "<i8")
    return [card.kind, card.metric, list(card.classes), prompts, hashlib.sha256(targets.data).hexdigest()]
