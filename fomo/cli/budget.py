"""``fomo budget``: GFLOPs, peak memory, MAFs and steps of methods, counted on fake tensors, without a GPU.

Where ``runtime.device`` is a GPU, the peak of a few real steps is measured too, one method at a time.
"""

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing

from rich.console import Console
from rich.progress import track

from fomo.cli.budget_lines import Layout, Row, footer, header, layout, line
from fomo.cli.budget_scale import add_options, machines_of, table
from fomo.cli.screen import print_json, screen
from fomo.config.compose import compose
from fomo.config.sweeping import sweep
from fomo.system.imports import many_imports

EPILOG = """Status 0: every row is whole. 1: one could not be counted or measured (out of memory, say); it says why,
and the others are there. runtime.device=cpu measures nothing.

examples:
  fomo budget                                                      the default run
  fomo budget model=ViT-B-16 batch_size=512 method=finetune,lora   one row for each
  fomo budget model=ViT-B-16 batch_size=512 budget=mafs --json     for programs
  fomo budget --devices 8 --device h100                            estimates for eight of them"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo budget", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as `fomo run` takes them; lists give rows")
    made.add_argument("--json", action="store_true", help="print JSON alone, all rows at the end")
    add_options(made)
    return made


def main(arguments: list[str]) -> None:
    """Print one row for every combination of the listed values."""
    options = parser().parse_intermixed_args(arguments)
    machines = machines_of(options)
    jobs = [compose(job) for job in sweep(options.overrides)]
    with many_imports():  # torch among them: what Hydra refuses is refused without it
        from fomo.planning import survey

    measures = survey.measures_of(jobs)
    with closing(survey.survey(jobs, measures, machines)) as coming:
        found = shown(
            coming, AsJson() if options.json else AsLines(layout(jobs, any(measures), screen().width)), len(jobs)
        )
    if any(row["problem"] for row in found):
        sys.exit(1)


class AsJson:
    """Prints all rows at the end, as one list."""

    screen = Console(stderr=True)

    def row(self, row: Row) -> None:
        """Nothing yet."""

    def end(self, found: list[Row]) -> None:
        """Print the list."""
        print_json(found)


class AsLines:
    """Prints a line for every row as it comes, and what they mean at the end."""

    def __init__(self, columns: Layout) -> None:
        self._columns = columns
        self._output = Console()
        self._begun = False
        self.screen = self._output if self._output.is_terminal else Console(stderr=True)

    def row(self, row: Row) -> None:
        """Print a row, below the names of the columns."""
        if not self._begun:
            self._print(header(self._columns))
        self._begun = True
        self._print(line(self._columns, row))

    def end(self, found: list[Row]) -> None:
        """Print what the columns mean."""
        self._print(footer(found, self._columns))
        estimates = table([(self._columns.name(row["label"]), row) for row in found])
        if estimates:
            self._print(estimates)

    def _print(self, text: str) -> None:
        # a line that wraps is easier to read than digits that are cut off
        self._output.print(text, markup=False, highlight=False, soft_wrap=True)
        self._output.file.flush()


def shown(coming: Iterator[Row], to: AsJson | AsLines, total: int) -> list[Row]:
    """Show every row; those that are there, where an interrupt ends it. A bar moves until then, on a terminal."""
    found: list[Row] = []
    try:
        for row in track(
            coming, "counting", total, console=to.screen, transient=True, disable=not to.screen.is_terminal
        ):
            found.append(row)
            to.row(row)
    except KeyboardInterrupt:
        to.end(found)
        raise
    to.end(found)
    return found
