"""What a page shows of a run, read from its folder and worked out; nothing of it is HTML yet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fomo.errors import FomoError
from fomo.report.compute import compute_line
from fomo.report.domains import DomainRow, by_domain
from fomo.report.history import POOLS, History, Step, curve, history
from fomo.report.overview import StreamRow, held_out, stream_rows
from fomo.report.within import Placed, placed
from fomo.report.words import duration, moment
from fomo.results.card import RunCard, check_finished, read_card
from fomo.results.config_file import read_config
from fomo.results.events import read_events
from fomo.results.layout import CARD, CONFIG, EVENTS, LEDGER, STREAM, THUMBNAILS, refuse_odd_files
from fomo.results.ledger import LedgerFile, read_ledger
from fomo.results.scores import Evaluation, Point, Scores
from fomo.results.scores_file import read_scores
from fomo.results.stages import StageRates, read_stages
from fomo.results.stream import StreamFile, read_stream
from fomo.results.thumbnails import Thumbnail, read_thumbnails
from fomo.system.checks import is_number
from fomo.system.reading import read_text

MOST_POINTS = 240
"""Points of a curve over steps."""


class Column(NamedTuple):
    """An evaluation in a table, and its name there."""

    name: str
    of: Evaluation


class TaskRow(NamedTuple):
    """A task in numbers; ``None`` and empty are not known."""

    task: int
    steps: int
    planned: int | None
    loss: float | None
    rate: float | None
    seen: Mapping[str, int]
    training: float | None
    evaluation: float | None


@dataclass(frozen=True)
class RunView:
    """A run as a page shows it; ``number`` tells it from others, from 0; ``name`` is what it is called there.

    ``card`` and ``ledger`` are ``None`` where the run has not written them yet, ``images`` where it keeps none.
    """

    name: str
    number: int
    config: Mapping[str, Any]
    config_text: str
    scores: Scores
    stream: StreamFile
    history: History
    ledger: LedgerFile | None
    card: RunCard | None
    images: Sequence[Thumbnail] | None

    @property
    def label(self) -> str:
        """Its method, and what else was changed."""
        return str(self.config.get("label", ""))

    @property
    def seed(self) -> int:
        """Of all its randomness."""
        return int(self.config["seed"])

    @property
    def finished(self) -> bool:
        """Whether everything is scored and written."""
        return self.scores.finished and self.card is not None

    @property
    def num_updates(self) -> int:
        """Updates that are scored, or lie before one that is."""
        return self.scores.evaluations[-1].task

    @cached_property
    def evaluations(self) -> list[Placed]:
        """Every evaluation on the way, those within updates too, and where in the stream it lies."""
        taken = Counter({task: len(steps) for task, steps in self.history.tasks.items()})
        return placed(self.scores, taken | Counter(self.planned_steps))

    @property
    def ends(self) -> tuple[Evaluation, Evaluation]:
        """The base model and the result, or how far it is, on the same samples: on all of them where they are known."""
        return self.scores.ends if self.scores.finished else (self.scores.evaluations[0], self.scores.evaluations[-1])

    @property
    def start(self) -> Point:
        """The base model."""
        return self.scores.point(self.ends[0])

    @property
    def last(self) -> Point:
        """The result, or how far it is."""
        return self.scores.point(self.ends[1])

    @property
    def columns(self) -> list[Column]:
        """Every evaluation; those in full last, where the others are of a part of the samples."""
        shown = [(_name(each.task), each) for each in self.scores.evaluations]
        shown += [(f"{_name(each.task)}, in full", each) for each in self.scores.in_full]
        return [Column(name, each) for name, each in shown]

    @property
    def path(self) -> list[tuple[str, Point]]:
        """KA, ZS and GM of every evaluation, by its name."""
        return [(column.name, self.scores.point(column.of)) for column in self.columns]

    @property
    def path_within(self) -> list[tuple[str, Point]]:
        """KA, ZS and GM of every evaluation within an update, by its name."""
        return [(each.name, self.scores.point(each.of)) for each in self.evaluations if not each.ends_update]

    @property
    def asked(self) -> dict[str, float]:
        """The share of each pool that the configuration asks for."""
        mixture = self.config.get("mixture")
        return {pool: mixture[pool] for pool in POOLS if isinstance(mixture, dict) and is_number(mixture.get(pool))}

    @property
    def compute(self) -> str:
        """What was spent, in words."""
        return compute_line(self.ledger) if self.ledger else ""

    @property
    def charged(self) -> dict[str, float]:
        """The share of each phase in what was charged so far."""
        phases = self.ledger.phases if self.ledger else {}
        whole = sum(phases.values())
        return {phase: flops / whole for phase, flops in phases.items()} if whole else {}

    @property
    def planned_steps(self) -> dict[int, int]:
        """The steps that the budget affords each task, as far as the ledger says."""
        return self.ledger.steps() if self.ledger else {}

    @cached_property
    def tasks(self) -> list[TaskRow]:
        """Every task that has a step, an evaluation or a plan."""
        planned = self.planned_steps
        numbers = {*self.history.tasks, *self.history.times, *planned}
        return [self._task(number, planned.get(number)) for number in sorted(numbers)]

    def _task(self, number: int, planned: int | None) -> TaskRow:
        steps = self.history.tasks.get(number, [])
        losses = [step.loss for step in steps if step.loss is not None]
        rates = [step.rate for step in steps if step.rate is not None]
        loss = sum(losses) / len(losses) if losses else None
        time = self.history.times.get(number)
        seconds = (time.training if number else None, time.evaluation or None) if time else (None, None)
        return TaskRow(number, len(steps), planned, loss, max(rates, default=None), self.history.seen(number), *seconds)

    @property
    def seen(self) -> dict[str, int]:
        """Samples of each pool so far."""
        if self.ledger:
            return dict(self.ledger.samples)
        return {pool: sum(row.seen.get(pool, 0) for row in self.tasks) for pool in POOLS}

    @property
    def losses(self) -> list[tuple[float, float]]:
        """The loss over the stream."""
        return self._curve([step.loss for step in self.history.steps])

    @property
    def rates(self) -> list[tuple[float, float]]:
        """The learning rate over the stream."""
        return self._curve([step.rate for step in self.history.steps])

    def _curve(self, values: Sequence[float | None]) -> list[tuple[float, float]]:
        return curve(self.history.steps, values, self.planned_steps, MOST_POINTS)

    @property
    def not_finite(self) -> list[Step]:
        """Steps whose loss was not finite."""
        return [step for step in self.history.steps if step.loss is None]

    @property
    def has_domains(self) -> bool:
        """Whether it is said of some dataset what its domain is."""
        return any(about.domain for about in self.scores.datasets.values())

    @cached_property
    def domains(self) -> list[DomainRow]:
        """Forgetting by domain."""
        return by_domain(self.scores)

    @property
    def falls(self) -> dict[str, float]:
        """How far each domain fell, in points."""
        return {row.domain: row.fall for row in self.domains}

    @cached_property
    def stages(self) -> list[StageRates]:
        """Where the time went, by stretch of one batch size."""
        return read_stages(self.card.compute) if self.card else []

    @property
    def phases(self) -> dict[str, float]:
        """The share of the run's time that each phase took, the slowest first."""
        totals: dict[str, float] = {}
        for stage in self.stages:
            for phase, share in stage.shares.items():
                seconds = share * (stage.training_seconds + stage.evaluation_seconds)
                totals[phase] = totals.get(phase, 0.0) + seconds
        whole = sum(totals.values()) or 1.0
        slowest = sorted(totals, key=lambda phase: -totals[phase])
        return {phase: totals[phase] / whole for phase in slowest}

    @property
    def machine(self) -> str:
        """Where the run was, as far as its card says."""
        card = self.card
        if card is None or not card.device:
            return ""
        known = card.versions if isinstance(card.versions, Mapping) else {}
        versions = ", ".join(f"{name} {version}" for name, version in known.items())
        counts = f"threads: {card.num_threads}, processes: {card.num_processes}"
        return f"{card.device}, {counts}, memory at most {card.peak_memory_gib} GiB; {versions}"

    @property
    def left_out(self) -> dict[str, Any]:
        """Data that could not be used: how much, by reason."""
        found = self.card.left_out if self.card else {}
        return dict(found) if isinstance(found, Mapping) else {}

    @property
    def seconds_left(self) -> float | None:
        """What is left at the pace so far; ``None`` before the first update, and of a run that is finished."""
        done = [row for row in self.tasks if 0 < row.task <= self.num_updates]
        times = [row.training + (row.evaluation or 0.0) for row in done if row.training is not None]
        return None if self.finished or not times else (self.scores.num_tasks - len(done)) * sum(times) / len(times)

    @property
    def how_far(self) -> str:
        """What is known of a run that goes on: updates, steps, what is left, its last sign of life."""
        planned = f" of {self.ledger.planned.steps}" if self.ledger else ""
        steps = f"{len(self.history.steps)}{planned} steps taken."
        said = [f"{self.num_updates} of {self.scores.num_tasks} updates scored, {steps}"]
        if self.seconds_left is not None:
            said.append(f"About {duration(self.seconds_left)} left at the pace so far.")
        if self.history.last is not None and (when := moment(self.history.last)):
            said.append(f"Its last sign of life here: {when}.")
        return " ".join(said)

    @property
    def stream_rows(self) -> list[StreamRow]:
        """Every task of the stream."""
        return stream_rows(self.stream, self.images or ())

    @property
    def held_out(self) -> dict[str, list[Thumbnail]]:
        """Every held-out dataset, with its images."""
        return held_out(self.scores, self.images or ())


def _name(task: int) -> str:
    return str(task) if task else "base"


def read_view(run: Path, name: str = "", number: int = 0, card: RunCard | None = None) -> RunView:
    """A run as it lies in its folder.

    Args:
        run: The folder.
        name: What the run is called on the page.
        number: Tells it from others, from 0.
        card: Of a run that has not written it yet.

    Raises:
        FomoError: nothing is scored yet, or a file that every run writes is missing, broken or of another run.
    """
    refuse_odd_files(run)
    scores = read_scores(run)
    if not scores.points:
        raise FomoError(f"{run}: nothing to report yet: no evaluation is written.")
    config = read_config(run)
    if not (run / STREAM).is_file():
        raise FomoError(f"{run / STREAM} is missing: every run writes it when it starts.")
    stream = read_stream(run)
    check_finished(run, config)
    card = card or (read_card(run) if (run / CARD).is_file() else None)
    if card and card.stream_sha256 not in ("", stream.definition_sha256):
        raise FomoError(f"{run}: {STREAM} is not the stream of the run (its hash differs from the card's).")
    return RunView(
        name=name or str(config.get("label", "")),
        number=number,
        config=config,
        config_text=read_text(run / CONFIG),
        scores=scores,
        stream=stream,
        history=history(read_events(run)) if (run / EVENTS).is_file() else History(),
        ledger=read_ledger(run) if (run / LEDGER).is_file() else None,
        card=card,
        images=read_thumbnails(run) if (run / THUMBNAILS).is_file() else None,
    )
