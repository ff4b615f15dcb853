"""A run with every part built and checked, before anything is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from fomo.budget.flops import Phases
from fomo.budget.plan import StepPlan
from fomo.config.schema import Resolved
from fomo.errors import FomoError
from fomo.evaluation.cost import evaluation_cost
from fomo.evaluation.measured import measured_sha256
from fomo.loggers.logger import LoggedRun, Logger
from fomo.loop import LearningRate
from fomo.model.clip import ClipModel
from fomo.results.config_file import comparable
from fomo.running.contents import contents_of
from fomo.running.sizing import check_rates
from fomo.stream.batches import BatchMaker
from fomo.stream.definition import Stream
from fomo.system.determinism import NOT_DETERMINISTIC
from fomo.system.digest import json_digest
from fomo.training.methods import Methods
from fomo.version import __version__

SIZES_MEASURED = "batch sizes measured"
"""The caveat of a result whose batch sizes were decided by what was measured: another machine may decide otherwise."""
NO_PLAIN_WEIGHTS = "no plain weights"
"""The caveat of a result whose model is more than weights: those that are stored are not what was scored."""


@dataclass(frozen=True)
class Prepared:
    """A run whose every part is built and checked; nothing is written yet.

    Args:
        resolved: The checked configuration.
        stream: What is learned and what is held out, with data.
        model: The base model on its device.
        methods: The parts of the method, which have begun the run.
        plan: The steps of every task, and what they cost.
        begin_run: What the parts' ``begin_run`` has cost.
        maker: Makes the batch of every step.
        learning_rate_of: The rate of every step, of a plan.
        base_sha256: Hash of the base model before the method has begun.
        blank: The modules of the base model before that, without weights.
        seconds: What all of it has taken, compiling included.
        loggers: What shows the run elsewhere, by the section that configures each.
    """

    resolved: Resolved
    stream: Stream
    model: ClipModel
    methods: Methods
    plan: StepPlan
    begin_run: Phases
    maker: BatchMaker
    learning_rate_of: Callable[[StepPlan], LearningRate]
    base_sha256: str
    blank: nn.Module
    seconds: float = 0.0
    loggers: Mapping[str, Logger] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_rates(self.plan, self.learning_rate_of)
        if self.resolved.config.keep_weights == "all" and not self.is_plain:
            more = " and ".join(name for name, part in self.methods.parts.items() if not part.plain_weights)
            raise FomoError(
                f"keep_weights=all: {more} deploys more than weights, so that weights alone could not be evaluated "
                "later. Take keep_weights=last."
            )

    @property
    def is_plain(self) -> bool:
        """Whether every part says that its weights are all there is to what it deploys."""
        return all(part.plain_weights for part in self.methods.parts.values())

    @property
    def caveats(self) -> tuple[str, ...]:
        """What keeps the result from being compared freely."""
        validation = ["validation split"] if self.resolved.config.evaluation.split == "validation" else []
        deployed = [] if self.is_plain else [NO_PLAIN_WEIGHTS]
        measured = [SIZES_MEASURED] if self.plan.sizes.rungs else []
        unsure = [] if self.resolved.config.runtime.deterministic else [NOT_DETERMINISTIC]
        return (*self.plan.budget.caveats, *measured, *unsure, *validation, *self.model.caveats, *deployed)

    @property
    def work(self) -> str:
        """What the run trains on and is evaluated on, in words."""
        config, steps = self.resolved.config, self.plan.steps
        cards = [dataset.card for dataset in self.stream.datasets.values()]
        trained = config.sizes.seen(sum(steps))
        stays = f" if batches stay at {config.batch_size}" if config.sizes.rungs else ""
        return f"Training: {trained:,} samples{stays}. Evaluation: {evaluation_cost(cards, config.evaluation, steps)}."

    @cached_property
    def contents(self) -> dict[str, Any]:
        """Hashes of what the configuration only names: base model, stream, data, code of others."""
        return contents_of(self.resolved, self.base_sha256, self.stream)

    @property
    def stream_hashes(self) -> dict[str, str]:
        """SHA-256 of the stream's definition, and of its data."""
        return {"sha256": self.contents["stream"], "data_sha256": self.contents["data"]}

    @cached_property
    def measured_sha256(self) -> str:
        """SHA-256 of what the scores measure."""
        return measured_sha256(self.stream, self.resolved.config.evaluation)

    def logged_in(self, folder: Path) -> LoggedRun:
        """What loggers are told of the run in ``folder``."""
        name = json_digest([self.resolved.sha256, str(folder.absolute())])[:16]
        return LoggedRun(name, folder, self.resolved.config.label, self.resolved.values)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint has to share with the run that goes on from it."""
        return {
            "code": {"major version": __version__.split(".")[0]},
            "config": comparable(self.resolved.values),
            "contents": self.contents,
            "plan": {"steps": list(self.plan.steps)},
        }
