"""``fomo run``: one experiment, or with ``-m`` one for every combination of the listed values."""

import argparse
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fomo.config.compose import compose, study, sweep
from fomo.system.signals import Stop
from fomo.system.text import escape, printable
from fomo.system.torchrun import are_several, number, said_once

if TYPE_CHECKING:
    from fomo.config.schema import Resolved


EPILOG = """examples:
  fomo run                                       the default experiment: fine-tuning on the pocket stream
  fomo run method=ema_merge seed=1               another method, another seed
  fomo run method=ema_merge trainable=lora       a preset with one part changed
  fomo run -m method=finetune,lora seed=0,1,2    a sweep: six runs
  fomo run experiment=study/methods              a study: a sweep that ends with a table and a figure
  fomo run run.dir=out resume=again              anew, beside what is there: in out.again-2
  fomo run --config runs/ID/config.yaml run.dir=again   replay a run"""


def main(arguments: list[str]) -> None:
    """Run every job; after a study, write its table and its figure below ``runs/``, and print where they are."""
    parser = argparse.ArgumentParser(
        "fomo run", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as Hydra reads them")
    parser.add_argument("-m", "--multirun", action="store_true", help="every combination of comma-separated values")
    parser.add_argument("--config", type=Path, metavar="FILE", help="replay the config.yaml of a run folder")
    parser.add_argument("--show", action="store_true", help="print the resolved configuration and stop")
    with said_once():
        options = parser.parse_intermixed_args(arguments)
    with Stop().listening() as stop, _ranks():  # from here on: imports and preparations take their time too
        name = study(options.overrides)
        several = options.multirun or bool(name)
        jobs = sweep(options.overrides) if several else [options.overrides]
        folders = run_jobs(jobs, options.config, options.show, several, stop)
    if name and folders and number() == 0:
        from fomo.report.study import write_study

        print(write_study(folders, Path("runs") / name))


def _ranks() -> AbstractContextManager[object]:
    """Where ``torchrun`` has started several processes, be one of them."""
    if not are_several():
        return nullcontext()
    from fomo.system.ranks import joined

    return joined()


def run_jobs(jobs: list[list[str]], file: Path | None, show: bool, named: bool, stop: Stop) -> list[Path]:
    """Check every job before the first one starts, then run them one after the other; their folders."""
    composed = [compose(job, file) for job in jobs]
    from fomo.config.schema import resolve  # imports torch: what Hydra refuses is refused without it
    from fomo.running.folder import begun_again, run_folder
    from fomo.running.same import check_same_jobs
    from fomo.system.ranks import from_first

    resolved = [resolve(values) for values in composed]
    check_same_jobs(resolved)
    if show:
        with said_once():
            print("---\n".join(each.to_yaml() for each in resolved), end="")
        return []
    console = Console(quiet=number() > 0)
    again = [each.config.resume == "again" for each in resolved]
    resolved = from_first(lambda: [begun_again(each, reserve=len(jobs) > 1) for each in resolved])
    for count, (job, each) in enumerate(zip(jobs, resolved, strict=True), start=1):
        if named:
            console.rule(escape(f"run {count} of {len(jobs)}: {' '.join(job)}"))
        if again[count - 1]:
            console.print(printable(f"resume=again: a new run, in {run_folder(each)}"), markup=False, soft_wrap=True)
        run_one(each, console, stop)
    return [run_folder(each) for each in resolved]


def run_one(resolved: "Resolved", console: Console, stop: Stop) -> None:
    """Run an experiment in its folder; a finished one only shows its table."""
    from fomo.report.tables import result_table
    from fomo.results.layout import REPORT
    from fomo.running.run import complete

    folder = complete(resolved, OnConsole(console), stop)
    console.print(result_table(folder))
    if (folder / REPORT).is_file():
        console.print(printable(f"report: {folder / REPORT}"), soft_wrap=True, markup=False)


class OnConsole:
    """Shows how far a run is."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Turn a spinner."""
        return self._console.status(what)

    def watching(self) -> "ProgressBars":
        """Draw bars."""
        return ProgressBars(self._console)


class ProgressBars(Progress):
    """Two bars: training steps, and the datasets of the evaluation at hand."""

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
        self.update(self._steps, total=num_steps)

    def step(self, task: int, step: int, loss: float) -> None:
        """Move on by a step."""
        self.update(self._steps, advance=1, description=f"task {task} of {self._num_tasks}, loss {loss:.3f}")

    def evaluating(self, task: int, dataset: str) -> None:
        """Move on by a dataset; the bar starts anew with each evaluation."""
        bar = self.tasks[self._evaluation]
        if bar.completed >= self._num_datasets or bar.total is None:
            self.reset(self._evaluation, total=self._num_datasets)
        self.update(self._evaluation, advance=1, description=f"evaluating after task {task}")
