"""How far a run is: bars on a terminal, else a line now and then, so that the log of a job shows it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fomo.system.text import escape, printable

EVERY_SECONDS = 30.0
"""A line of steps is printed so often at most, and at the first and the last step of a task."""


class ProgressBars(Progress):
    """Two bars: training steps, and the datasets of the evaluation at hand. Above them stand the scores so far."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._steps = self.add_task("training", total=None)
        self._evaluation = self.add_task("evaluating", total=None)
        self._num_tasks = self._num_datasets = 0

    def planned(self, num_tasks: int, num_steps: int, num_datasets: int) -> None:
        """Set the lengths of the bars."""
        self._num_tasks = num_tasks
        self._num_datasets = num_datasets
        self.update(self._steps, total=self.tasks[self._steps].completed + num_steps)

    def step(self, task: int, step: int, loss: float) -> None:
        """Move on by a step."""
        self.update(self._steps, advance=1, description=f"task {task} of {self._num_tasks}, loss {loss:.3f}")

    def evaluating(self, task: int, dataset: str) -> None:
        """Move on by a dataset; the bar starts anew with each evaluation."""
        bar = self.tasks[self._evaluation]
        if bar.completed >= self._num_datasets or bar.total is None:
            self.reset(self._evaluation, total=self._num_datasets)
        self.update(self._evaluation, advance=1, description=f"evaluating after task {task}")

    def scored(self, task: int, ka: float, zs: float) -> None:
        """Print the scores above the bars."""
        self.console.print(scores_line(task, ka, zs), highlight=False)


class ProgressLines:
    """The same as lines.

    Args:
        say: Prints one.
        clock: Tells the time, in seconds.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._begun = self._said = clock()
        self._num_tasks = self._num_steps = self._done = self._task = 0

    def __enter__(self) -> "ProgressLines":
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left to do."""

    def planned(self, num_tasks: int, num_steps: int, num_datasets: int) -> None:
        """Say how much there is to do."""
        self._num_tasks = num_tasks
        self._num_steps = self._done + num_steps
        self._begun = self._begun if self._done else self._clock()
        self._say(f"{num_steps:,} steps to take in {num_tasks} tasks; {num_datasets} datasets to evaluate on")

    def step(self, task: int, step: int, loss: float) -> None:
        """Say how far it is, if that was not said just now."""
        self._done += 1
        now = self._clock()
        if task != self._task or self._done == self._num_steps or now - self._said >= EVERY_SECONDS:
            left = (now - self._begun) / self._done * (self._num_steps - self._done)
            where = f"task {task} of {self._num_tasks}, loss {loss:.3f}: {self._done:,} of {self._num_steps:,} steps"
            self._say(f"{where}, {_duration(now - self._begun)} so far, about {_duration(left)} left")
            self._task = task
            self._said = now

    def evaluating(self, task: int, dataset: str) -> None:
        """Nothing: an evaluation is one line, once it is done."""

    def scored(self, task: int, ka: float, zs: float) -> None:
        """Say the scores."""
        self._say(scores_line(task, ka, zs))


@contextmanager
def counted(console: Console, what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """While open, what it yields hears how many more are done, and draws a bar, or prints a line now and then.

    Args:
        console: Where to.
        what: What is done.
        total: How many there are to do, if that is known.
    """
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
            bar = bars.add_task(escape(what), total=total)
            yield lambda number, note="": bars.update(bar, advance=number, description=escape(f"{what}{note}"))
    else:
        lines = CountedLines(lambda text: console.print(printable(text), markup=False, soft_wrap=True), what, total)
        yield lines.advance
        lines.end()


class CountedLines:
    """Says how many are done: at once, then every :data:`EVERY_SECONDS`, and at the end.

    Args:
        say: Prints a line.
        what: What is done.
        total: How many there are to do, if that is known.
        clock: Tells the time, in seconds.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        what: str,
        total: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._what = what
        self._of = "" if total is None else f" of {total:,}"
        self._clock = clock
        self._begun = clock()
        self._said = self._begun - EVERY_SECONDS
        self._done = 0
        self._note = ""

    def advance(self, number: int, note: str = "") -> None:
        """So many more are done; ``note`` stands behind what it is."""
        self._done += number
        self._note = note
        if self._clock() - self._said >= EVERY_SECONDS:
            self.end()

    def end(self) -> None:
        """Say how many are done."""
        self._said = self._clock()
        so_far = _duration(self._said - self._begun)
        self._say(f"{self._what}{self._note}: {self._done:,}{self._of}, {so_far} so far")


def scores_line(task: int, ka: float, zs: float) -> str:
    """KA and ZS in percent after ``task`` updates, in words."""
    return f"{f'after task {task}' if task else 'before training'}: KA {ka:.1f}, ZS {zs:.1f}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
