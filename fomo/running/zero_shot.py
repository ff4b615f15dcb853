"""Any model on any prepared datasets, zero-shot, without a run: what ``fomo zeroshot`` shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomo.config import factory
from fomo.config.schema import Config
from fomo.data.samples import Dataset
from fomo.data.shards import open_dataset
from fomo.data.validation import with_validation
from fomo.errors import FomoError, check_choice
from fomo.evaluation.kinds import KINDS
from fomo.evaluation.prompts import alike_classes
from fomo.evaluation.zero_shot import scored_datasets
from fomo.model.clip import ClipModel
from fomo.stream.plan import StreamPlan
from fomo.system.determinism import deterministic


@dataclass(frozen=True)
class ZeroShotScore:
    """A dataset's score in percent, what it is of, and for how many classes the model reads the same as for another.

    ``recalls`` are those of retrieval at 1, 5 and 10 in both directions, in percent.
    """

    dataset: str
    role: str
    kind: str
    metric: str
    num_samples: int
    score: float
    recalls: Mapping[str, float]
    num_alike: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"recalls": dict(self.recalls)}


def opened(config: Config, given: Sequence[str]) -> dict[str, Dataset]:
    """The datasets to score: those named, a folder of prepared data or a dataset of the stream each; else the stream's.

    Raises:
        FomoError: one is neither, is not there, has no samples in the split, or no task.
    """
    plan = factory.stream_plan(config)
    known = list(dict.fromkeys((*plan.adaptation, *plan.retention)))
    found: dict[str, Dataset] = {}
    for name in dict.fromkeys(given or known):
        dataset = open_dataset(Path(name)) if Path(name).is_dir() else _of_stream(plan, name, known)
        if dataset.name in found:
            raise FomoError(f"datasets={','.join(given)}: two of them are named '{dataset.name}'.")
        found[dataset.name] = with_validation(dataset) if config.evaluation.split == "validation" else dataset
    for dataset in found.values():
        check_choice(f"kind to score (dataset '{dataset.name}')", dataset.card.kind, KINDS)
        dataset.split(config.evaluation.split)
    return found


def _of_stream(plan: StreamPlan, name: str, known: Sequence[str]) -> Dataset:
    check_choice(f"dataset of the stream '{plan.name}'", name, known, "A folder of prepared data can be named too.")
    return plan.opened([name])[name]


def zero_shot(
    config: Config, datasets: Mapping[str, Dataset], on_dataset: Callable[[str], None] = lambda name: None
) -> list[ZeroShotScore]:
    """The configured model on all samples of a split of datasets.

    Args:
        config: Says which model, device, prompts and split.
        datasets: What is scored, by name.
        on_dataset: Called with the name of each dataset once it is scored.
    """
    found = []
    with deterministic(config.runtime.deterministic):
        model = factory.model(config)
        for name, scored in scored_datasets(model, datasets, config.evaluation.in_full, config.runtime):
            on_dataset(name)
            card = datasets[name].card
            about = (name, card.role, card.kind, card.metric, len(scored.values), scored.score, scored.recalls)
            found.append(ZeroShotScore(*about, _num_alike(model, datasets[name], config)))
    return found


def _num_alike(model: ClipModel, dataset: Dataset, config: Config) -> int:
    templates = config.evaluation.templates_used
    return sum(len(each.classes) for each in alike_classes(dataset.card, templates, model.tokenize))
