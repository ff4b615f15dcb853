"""``fomo export``: all scores of runs as one tidy table, a number a row; or the weights of a run for open_clip."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fomo.errors import FomoError
from fomo.report.export import COLUMNS, check_file, export, metrics_of_runs
from fomo.report.weights import ABOUT, FOLDER, export_weights
from fomo.results.folders import run_folders
from fomo.results.run import load
from fomo.system.text import printable

EPILOG = f"""columns: {", ".join(list(COLUMNS)[:8])},
  {", ".join(list(COLUMNS)[8:])}

examples:
  fomo export runs --out scores.csv                every run below runs
  fomo export runs/a runs/b --out scores.parquet   for pandas, R, DuckDB; needs pyarrow
  fomo export runs/a --weights                     runs/a/open_clip, as local-dir:runs/a/open_clip of open_clip
  fomo export runs/a --weights --out model         the same in another folder"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo export", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders, or folders of them")
    made.add_argument(
        "--out", type=Path, metavar="FILE", help="a .csv or .parquet file, overwritten; of weights, a folder"
    )
    made.add_argument(
        "--weights", action="store_true", help="write the deployed weights of one run, with all they need"
    )
    return made


def main(arguments: list[str]) -> None:
    """Write what is asked for, and say where it is.

    Raises:
        FomoError: it could not be written; of a table, a run cannot be read or a metric fails, and the rest is there.
    """
    options = parser().parse_args(arguments)
    if options.weights:
        _weights(options.folders, options.out)
    elif options.out is None:
        raise FomoError("--out is missing: say where to, as in --out scores.csv.")
    else:
        check_file(options.out)
        _table(options.folders, options.out)


def _weights(folders: Sequence[Path], out: Path | None) -> None:
    if len(folders) > 1:
        raise FomoError(f"--weights: one run at a time; {len(folders)} folders are given.")
    place = out or folders[0] / FOLDER
    export_weights(load(folders[0]), place)
    print(f"{place}: open_clip.create_model_from_pretrained('local-dir:{place}'); {place / ABOUT} says more")


def _table(given: Sequence[Path], out: Path) -> None:
    wrong: list[str] = []

    def note(text: str, is_wrong: bool) -> None:
        if is_wrong:
            wrong.append(text)
        else:
            print(f"note: {printable(text)}", file=sys.stderr)

    folders = run_folders(given)
    if not folders:
        raise FomoError(f"there is no run folder in {', '.join(map(str, given))}.")
    number = export(folders, out, list(metrics_of_runs(note)), note)
    print(f"{out}: {number:,} rows of {len(folders)} runs")
    if wrong:
        raise FomoError("; ".join(dict.fromkeys(wrong)))
