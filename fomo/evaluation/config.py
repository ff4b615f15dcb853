"""How to evaluate: the settings of ``evaluation``."""

from dataclasses import dataclass, replace
from typing import Any

from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError, check_allowed, check_choice
from fomo.evaluation.subset import subset_of
from fomo.evaluation.templates import (
    FILE,
    TEMPLATES,
    Templates,
    checked_templates,
)

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
