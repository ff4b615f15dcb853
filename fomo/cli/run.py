"""``fomo run``: one experiment, or with ``-m`` one for every combination of the listed values."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from fomo.cli.progress import ProgressBars, ProgressLines
from fomo.cli.screen import print_json
from fomo.config.compose import compose
from fomo.config.launching import split
from fomo.config.sweeping import study, sweep
from fomo.errors import FomoError
from fomo.system.imports import many_imports
from fomo.system.reading import read_json
from fomo.system.signals import Stop
from fomo.system.text import escape, printable
from fomo.system.torchrun import are_several, number, said_once
from fomo.system.writing import write_json

if TYPE_CHECKING:
    from fomo.config.schema import Resolved
    from fomo.launching.launcher import Counts, Failure


EPILOG = """examples:
  fomo run                                       the default experiment: fine-tuning on the pocket stream
  fomo run method=ema_merge seed=1               another method, another seed
  fomo run method=ema_merge trainable=lora       a preset with one part changed
  fomo run diagnostics=curvature budget=steps budget.steps=60   with what is measured on the way, in events.jsonl
  fomo run -m method=finetune,lora seed=0,1,2    a sweep: six runs
  fomo run -m seed=0,1,2,3 launcher=processes    the runs of a sweep at the same time; or submitit (Slurm), ray
  fomo run experiment=study/methods method=frozen,finetune   a study: a sweep that ends with a table and a figure
  fomo run -m method=lora,ewc seed=0,1,2 --settings runs/tuning   each method with what fomo tune has chosen
  fomo run run.dir=out resume=again              anew, beside what is there: in out.again-2
  fomo run --config runs/ID/config.yaml run.dir=again   replay a run"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo run", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as Hydra reads them")
    made.add_argument("-m", "--multirun", action="store_true", help="every combination of comma-separated values")
    made.add_argument("--config", type=Path, metavar="FILE", help="replay the config.yaml of a run folder")
    made.add_argument("--settings", type=Path, metavar="FILE", help="of each method of a sweep, by fomo tune")
    made.add_argument("--show", action="store_true", help="print the resolved configuration and stop")
    made.add_argument("--json", action="store_true", help="print JSON alone, as fomo score; the rest on standard error")
    return made


def main(arguments: list[str]) -> None:
    """Run every job; after a study, write its table and its figure below ``runs/``, and print where they are."""
    with said_once():
        options = parser().parse_intermixed_args(arguments)
    with Stop().listening() as stop, _ranks():  # from here on: imports and preparations take their time too
        name = study(options.overrides)
        several = options.multirun or bool(name)
        if several and are_several():
            raise FomoError(
                "torchrun starts the processes of one run, and this is a sweep: start it without torchrun, with "
                "launcher=processes launcher.gpus_per_run=N, which has each run's processes started by it."
            )
        launcher, overrides = split(options.overrides) if several else (None, options.overrides)
        if options.settings and not several:
            raise FomoError("--settings has settings of each method of a sweep: add -m, or choose a study.")
        jobs = sweep(overrides, options.settings) if several else [overrides]
        folders = run_jobs(jobs, options.config, options.show, launcher, stop, options.json)
    if name and folders:
        print(keep_study(Path("runs") / name, folders), file=sys.stderr if options.json else None)


def keep_study(first: Path, folders: Sequence[Path]) -> Path:
    """Write table and figure of a study; the place of the table. Those of another study are left as they are.

    They are called ``first``, or the next of ``first-2``, …. Beside them lies the list of the study's run folders, so
    that the same study has the same files.
    """
    listed = [str(folder) for folder in folders]
    names = chain([first.name], (f"{first.name}-{each}" for each in count(2)))
    base = next(base for base in map(first.with_name, names) if _is_free(base, listed))
    table = write(folders, base)
    write_json(base.with_suffix(".json"), listed)
    return table


def write(folders: Sequence[Path], base: Path) -> Path:
    """Write what a study's runs show: results, or what was chosen on the validation split; give the place."""
    from fomo.report.study import write_study
    from fomo.report.tuning import write_tuning
    from fomo.results.scores_file import read_scores

    on_test = read_scores(folders[0]).split == "test"
    return write_study(folders, base) if on_test else write_tuning(folders, base)


def _is_free(base: Path, listed: list[str]) -> bool:
    """Whether no other study than that of these folders is called so."""
    runs = base.with_suffix(".json")
    return read_json(runs) == listed if runs.is_file() else not base.with_suffix(".md").exists()


def _ranks() -> AbstractContextManager[object]:
    """Where ``torchrun`` has started several processes, be one of them."""
    if not are_several():
        return nullcontext()
    from fomo.system.joining import joined

    return joined()


def run_jobs(
    jobs: Sequence[list[str]],
    file: Path | None,
    show: bool,
    launcher: Mapping[str, Any] | None,
    stop: Stop,
    as_json: bool = False,
) -> list[Path]:
    """Check every job before the first one starts, then run them; the folders of a sweep.

    Args:
        jobs: The overrides of each.
        file: The stored configuration that they replay, if they do.
        show: Whether to print the configurations only.
        launcher: What starts them, as a configured part; ``None``: there is one job, no sweep.
        stop: Whether to stop.
        as_json: Whether to print JSON alone on standard output.

    Raises:
        FomoError: a job is refused, and none was started; or some have failed, after the others were run.
    """
    composed = [compose(job, file) for job in jobs]
    with many_imports():  # torch among them: what Hydra refuses is refused without it
        from fomo.config import factory
        from fomo.launching.launcher import placed
        from fomo.running.same import check_same_jobs
        from fomo.running.tuned import tuned

    starter = factory.build("launcher", launcher) if launcher else None
    found = placed(composed, starter)
    check_same_jobs(found.resolved)
    for each in found.resolved:
        tuned(each)
    if show:
        with said_once():
            print("---\n".join(each.to_yaml() for each in found.resolved), end="")
        return []
    console = Console(quiet=number() > 0, stderr=as_json)
    if starter is None:
        folder = run_alone(found.resolved[0], OnConsole(console), stop)
        if as_json:
            summarise([folder], as_json)
        return []
    several = found.jobs(jobs, file)
    failures = starter.launch(several, stop, OnConsole(console, brief=True))
    folders = [job.folder for job in several]
    summarise(folders, as_json)
    refuse_failed(failures, len(several))
    return folders


def summarise(folders: Sequence[Path], as_json: bool) -> None:
    """Print one table of runs, as ``fomo score`` does, or JSON; the first of several processes does."""
    from fomo.cli.score import show
    from fomo.report.summary import CHANGES, MAIN, scored_runs
    from fomo.results.measures import chosen

    if number() > 0:
        return
    runs = scored_runs(folders, chosen([*MAIN.values(), *CHANGES.values()]))
    if as_json:
        print_json([run.to_json() for run in runs])
    else:
        show(runs, (), False, Console())


def refuse_failed(failures: Sequence["Failure"], number: int) -> None:
    """List what has failed, with its log.

    Raises:
        FomoError: something has.
    """
    if failures:
        lines = [f"  run {job.number}: {job}\n    {how}\n    log: {job.log}" for job, how in failures]
        failed = f"{len(failures)} of {number} runs have failed; the same command goes on with them"
        raise FomoError("\n".join([f"{failed}:", *lines]))


def run_alone(resolved: "Resolved", audience: "OnConsole", stop: Stop) -> Path:
    """Run an experiment in its folder, which is returned; a finished one only shows its table."""
    from fomo.running.folder import begun_again, run_folder
    from fomo.running.run import complete
    from fomo.system.ranks import from_first

    begun = from_first(lambda: begun_again(resolved, reserve=False))
    if resolved.config.resume == "again":
        audience.say(f"resume=again: a new run, in {run_folder(begun)}")
    folder = complete(begun, audience, stop)
    audience.result(folder)
    return folder


class OnConsole:
    """Shows how far a run, or a sweep, is; ``brief``: a result is one line."""

    def __init__(self, console: Console, brief: bool = False) -> None:
        self._console = console
        self._brief = brief

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Turn a spinner."""
        return self._console.status(what)

    def watching(self) -> ProgressBars | ProgressLines:
        """Draw bars, or print lines where there is no terminal."""
        return ProgressBars(self._console) if self._console.is_terminal else ProgressLines(self.say)

    def heading(self, text: str) -> None:
        """Print it within a rule."""
        self._console.rule(escape(text))

    def result(self, folder: Path) -> None:
        """Print the table of a run, or its result in a line, and where its report is."""
        from fomo.report.tables import result_table
        from fomo.results.layout import REPORT
        from fomo.results.scores_file import read_scores

        if self._brief:
            final = read_scores(folder).final
            self.say(f"KA {final.ka:.1f}, ZS {final.zs:.1f}, GM {final.gm:.1f}: {folder}")
            return
        self._console.print(result_table(folder))
        if (folder / REPORT).is_file():
            self.say(f"report: {folder / REPORT}")

    @contextmanager
    def counting(self) -> Iterator[Callable[["Counts"], None]]:
        """Draw a bar of runs, or print a line whenever their numbers change where there is no terminal."""
        before: list[Counts] = []
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as bars:
            bar = bars.add_task("runs", total=None)

            def count(counts: "Counts") -> None:
                bars.update(bar, total=counts.total, completed=counts.done + counts.failed, description=str(counts))
                if before[-1:] != [counts] and not self._console.is_terminal:
                    self.say(str(counts))
                before[:] = [counts]

            yield count
