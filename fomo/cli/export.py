"""``fomo export``: all scores of runs as one tidy table, a number a row: datasets, means, tasks, metrics."""

import argparse
import sys
from pathlib import Path

from fomo.errors import FomoError
from fomo.report.export import COLUMNS, check_file, export, metrics_of_runs
from fomo.results.folders import run_folders
from fomo.system.text import printable

EPILOG = f"""columns: {", ".join(list(COLUMNS)[:8])},
  {", ".join(list(COLUMNS)[8:])}

examples:
  fomo export runs --out scores.csv                every run below runs
  fomo export runs/a runs/b --out scores.parquet   for pandas, R, DuckDB; needs pyarrow"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo export", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders, or folders of them")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .csv or .parquet file, overwritten")
    return made


def main(arguments: list[str]) -> None:
    """Write the file and say what is in it. Status 2 if a run cannot be read or a metric fails; the rest is there."""
    options = parser().parse_args(arguments)
    check_file(options.out)
    wrong: list[str] = []

    def note(text: str, is_wrong: bool) -> None:
        if is_wrong:
            wrong.append(text)
        else:
            print(f"note: {printable(text)}", file=sys.stderr)

    folders = {folder.resolve(): folder for folder in run_folders(options.folders)}
    if not folders:
        raise FomoError(f"there is no run folder in {', '.join(map(str, options.folders))}.")
    number = export(folders.values(), options.out, list(metrics_of_runs(note)), note)
    print(f"{options.out}: {number:,} rows of {len(folders)} runs")
    if wrong:
        raise FomoError("; ".join(dict.fromkeys(wrong)))
