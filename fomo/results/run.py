"""A run folder in Python: everything that it holds, read when it is asked for, and as data frames."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fomo.errors import FomoError
from fomo.results.card import RunCard, check_finished, read_card
from fomo.results.config_file import read_config
from fomo.results.events import read_events
from fomo.results.layout import CARD, EVENTS, LEDGER, NETWORK, WEIGHTS, refuse_odd_files
from fomo.results.ledger import LedgerFile, Spent, read_ledger
from fomo.results.scores import NotFinished, Point, Scores
from fomo.results.scores_file import read_scores
from fomo.results.stream import StreamFile, read_stream

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]


def load(folder: str | Path) -> "Run":
    """The run in a folder.

    Raises:
        FomoError: the folder is not there, or holds no run.
    """
    run = Run(Path(folder).expanduser())
    if not run.folder.is_dir():
        raise FomoError(f"'{folder}': there is no such folder. Give the folder of a run, as in runs/ID.")
    refuse_odd_files(run.folder)
    _ = run.config
    return run


@dataclass(frozen=True)
class Run:
    """A run's folder. Each file is read once, when it is first asked for; :func:`load` again to see what came since.

    What is not written yet raises ``fomo.results.scores.NotFinished``, a ``fomo.FomoError``; scores and a ledger that
    the finished run did not write raise the latter. Scores are in percent.
    """

    folder: Path

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The resolved configuration, plain values."""
        return read_config(self.folder)

    @cached_property
    def stream(self) -> StreamFile:
        """The concepts of every task, and what is held out."""
        return read_stream(self.folder)

    @cached_property
    def scores(self) -> Scores:
        """Every evaluation so far, by task and dataset."""
        check_finished(self.folder, self.config)
        return read_scores(self.folder)

    @cached_property
    def ledger(self) -> LedgerFile:
        """What was planned and charged, by task and phase."""
        check_finished(self._written(LEDGER), self.config)
        return read_ledger(self.folder)

    @cached_property
    def card(self) -> RunCard:
        """Time, machine, hashes and caveats of the finished run."""
        return read_card(self._written(CARD))

    @property
    def finished(self) -> bool:
        """Whether everything is written."""
        return (self.folder / CARD).is_file()

    @property
    def weights(self) -> Path:
        """The file of the deployed weights; ``model.folder`` takes the run's folder.

        Raises:
            FomoError: the run is not finished, or deploys more than weights.
        """
        if (self.folder / NETWORK).is_file():
            raise FomoError(
                f"{self.folder}: its method deploys more than plain weights. {NETWORK} has those of its network, which "
                "are not what was scored."
            )
        return self._written(WEIGHTS) / WEIGHTS

    @property
    def label(self) -> str:
        """What tables call it."""
        return str(self.config.get("label", ""))

    @property
    def path(self) -> list[Point]:
        """KA, ZS and GM after every update so far, the base model first."""
        return self.scores.points

    @property
    def final(self) -> Point:
        """KA, ZS and GM of the result."""
        return self.scores.final

    def score_frame(self) -> "pandas.DataFrame":
        """A row for every evaluation and dataset."""
        about = self.scores.datasets
        return self._frame(
            {"task": each.task, "dataset": name, "role": about[name].role, "metric": about[name].metric, "score": score}
            for each in self.scores.evaluations
            for name, score in each.scores.items()
        )

    def task_frame(self) -> "pandas.DataFrame":
        """A row for every evaluation and task: the score on the test samples of the concepts ``of_task``."""
        return self._frame(
            {"task": each.task, "of_task": number, "score": score}
            for each in self.scores.evaluations
            for number, score in each.tasks.items()
        )

    def path_frame(self) -> "pandas.DataFrame":
        """A row for every evaluation: KA, ZS and GM."""
        return self._frame({"task": at.task, "ka": at.ka, "zs": at.zs, "gm": at.gm} for at in self.path)

    def step_frame(self) -> "pandas.DataFrame":
        """A row for every step: loss, gradient norm, learning rate, and what else the run wrote of it."""
        steps = [each for each in read_events(self._written(EVENTS)) if each.get("event") == "step"]
        return self._frame({key: value for key, value in each.items() if key != "event"} for each in steps)

    def ledger_frame(self) -> "pandas.DataFrame":
        """A row for every task: steps, FLOPs and MAFs, planned and charged, and the FLOPs of each phase."""
        return self._frame(
            {"task": int(number), **_named("planned", of.planned), **_named("charged", of.charged), **of.phases}
            for number, of in self.ledger.tasks.items()
        )

    def _written(self, name: str | Path) -> Path:
        if not (self.folder / name).is_file():
            raise NotFinished(f"{self.folder}: not finished: it holds no {name}.")
        return self.folder

    def _frame(self, rows: Iterable[Row]) -> "pandas.DataFrame":
        """The rows, each with the label and the seed of the run, so that frames of several runs can be put together."""
        try:
            import pandas
        except ImportError:
            raise FomoError(
                "data frames need pandas, which a plain installation leaves out: pip install 'fomo-bench[frames]'."
            ) from None
        return pandas.DataFrame([{"label": self.label, "seed": self.config["seed"], **row} for row in rows])


def _named(prefix: str, spent: Spent) -> Row:
    return {f"{prefix}_{key}": value for key, value in asdict(spent).items()}
