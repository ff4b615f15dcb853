"""What changes while a run goes on, beside its model: what is spent, written, drawn from and lost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from fomo.budget.ledger import Ledger
from fomo.checkpoint.state import Stateful
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.kinds import Scored
from fomo.evaluation.zero_shot import evaluate
from fomo.loggers.loggers import Loggers
from fomo.model.clip import ClipModel
from fomo.results.record import Record
from fomo.results.samples import Hits, evaluation_name, keep_hits
from fomo.results.scores import Evaluation, ScoredDataset, ScoredStream, Scores
from fomo.running.deployment import Deployment
from fomo.running.kept import is_kept, keep_weights
from fomo.running.known import Known, known
from fomo.running.prepared import Prepared
from fomo.running.sizing import Sizing, measured_by
from fomo.system.memory_fault import during
from fomo.system.ranks import from_first, is_first, world
from fomo.system.usage import Usage
from fomo.training.loader import Batches
from fomo.training.nonfinite import POLICIES, StopRun


class Progress(Protocol):
    """Who wants to see how far a run is."""

    def planned(self, num_tasks: int, num_steps: int, num_datasets: int) -> None:
        """What is left of the run; said again where that changes."""

    def step(self, task: int, step: int, loss: float) -> None:
        """A step was made."""

    def evaluating(self, task: int, dataset: str) -> None:
        """A dataset was scored."""

    def scored(self, task: int, ka: float, zs: float) -> None:
        """All datasets were scored after ``task`` updates; KA and ZS in percent."""


@dataclass(frozen=True)
class Live:
    """The parts of a run that have state of their own, which a checkpoint keeps; ``known`` is of the machine,
    ``loggers`` are told."""

    known: Known
    ledger: Ledger
    record: Record
    usage: Usage
    batches: Batches
    nonfinite: StopRun
    loggers: Loggers
    sizing: Sizing

    @property
    def parts(self) -> dict[str, Stateful]:
        """By the name that a checkpoint keeps each under; sizes that nobody decides are not kept."""
        decided = {"sizes": self.sizing} if self.ledger.plan.sizes.rungs else {}
        return {
            "batches": self.batches,
            "ledger": self.ledger,
            "record": self.record,
            "usage": self.usage,
            "guard": self.nonfinite,
            **decided,
        }

    def score(self, prepared: Prepared, deployment: Deployment, task: int, seen: Callable[[str], None]) -> bool:
        """Evaluate what is deployed after ``task`` updates, and write the scores, if that is due; whether it was.

        Weights that are to be kept are written in any case.

        Args:
            prepared: The run.
            deployment: Has the model to score.
            task: How many updates came before.
            seen: Hears of each dataset.
        """
        config = prepared.resolved.config.evaluation
        is_due = config.is_due(task, len(prepared.stream.tasks))
        with self.usage.paused(), during("evaluation", task):
            model = deployment.scored(task)
            if is_kept(prepared, task):
                from_first(lambda: keep_weights(prepared, self.record.scores.folder, task))
            if not is_due:
                return False
            result = self._scored(prepared, model, task, config, seen)
            ends = task in (0, len(prepared.stream.tasks)) and config.subset != "none"
            whole = self._scored(prepared, model, task, config.in_full, seen, in_full=True) if ends else None
            self.record.evaluation(result, whole)
        return True

    def _scored(
        self,
        prepared: Prepared,
        model: ClipModel,
        task: int,
        config: EvaluationConfig,
        seen: Callable[[str], None],
        in_full: bool = False,
    ) -> Evaluation:
        """An evaluation, whose hits are kept where that is asked for; ``in_full``: beside the one of a subset."""
        hits: dict[str, Hits] = {}

        def heard(name: str, scored: Scored) -> None:
            hits[name] = scored.hits
            seen(name)

        result = evaluate(model, prepared.stream, task, config, prepared.resolved.config.runtime, heard)
        if config.keep_samples:
            from_first(lambda: keep_hits(self.record.scores, evaluation_name(result, in_full), hits))
        return result

    def score_within(self, prepared: Prepared, task: int, step: int, seen: Callable[[str], None]) -> None:
        """Evaluate the model in training after ``step`` steps of a task, and write the scores.

        Args:
            prepared: The run.
            task: The task, from 1.
            step: How many of its steps were made.
            seen: Hears of each dataset.
        """
        config = prepared.resolved.config
        with self.usage.paused(), during("evaluation", task):
            heard = partial(_name_alone, seen)
            result = evaluate(prepared.model, prepared.stream, task, config.evaluation, config.runtime, heard)
            self.record.within(replace(result, step=step))


def _name_alone(seen: Callable[[str], None], name: str, scored: Scored) -> None:
    seen(name)


def begin(prepared: Prepared, folder: Path, progress: Progress) -> Live:
    """The parts at the start of a run in ``folder``."""
    config = prepared.resolved.config
    processes = f"{world().size}{' fsdp' if config.runtime.strategy == 'fsdp' else ''}"
    facts = known(prepared)  # first: what is not found is not found before anything is written
    loggers = Loggers(prepared.loggers)
    ledger = Ledger(prepared.plan, config.seed, prepared.begin_run)
    record = Record(_no_scores(prepared, folder), progress.step, processes, is_first(), loggers.hear)
    batches = Batches(prepared.maker, prepared.model, config.runtime)
    measured = measured_by(config.batch_ladder, prepared.methods)
    return Live(
        known=facts,
        ledger=ledger,
        record=record,
        usage=Usage(config.runtime.device),
        batches=batches,
        nonfinite=POLICIES[config.on_nan](config.rewind_every),
        loggers=loggers,
        sizing=Sizing(config.batch_ladder, ledger, batches, record, prepared.learning_rate_of, measured),
    )


def _no_scores(prepared: Prepared, folder: Path) -> Scores:
    """The scores of a run before its first evaluation."""
    stream = prepared.stream
    split = prepared.resolved.config.evaluation.split
    datasets = {
        name: ScoredDataset(
            role="adaptation" if name in stream.adaptation else "retention",
            kind=dataset.card.kind,
            metric=dataset.card.metric,
            num_samples=dataset.card.num_samples[split],
            domain=dataset.card.domain,
        )
        for name, dataset in stream.datasets.items()
    }
    about = ScoredStream(stream.name, **prepared.stream_hashes, measured_sha256=prepared.measured_sha256)
    every = prepared.resolved.config.evaluation.every_tasks
    return Scores(folder, about, split, prepared.caveats, len(stream.tasks), datasets, every_tasks=every)
