"""``fomo report``: the HTML page of a run, written anew, or one page of several runs side by side."""

import argparse
from pathlib import Path

from fomo.errors import FomoError
from fomo.report.page import write_report, write_side_by_side
from fomo.results.folders import run_folders
from fomo.results.layout import CONFIG

EPILOG = """examples:
  fomo report runs/ID                        while the run goes on, or after it: runs/ID/report.html
  fomo report runs/ID --out run.html         written to another place
  fomo report runs/a runs/b --out both.html  side by side: what differs, paths in one plane, curves
  fomo report runs --out all.html            every run below runs"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo report", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    about = "run folders, finished or not, or folders of them"
    made.add_argument("folders", nargs="+", type=Path, metavar="DIR", help=about)
    made.add_argument("--out", type=Path, metavar="FILE", help="the page; of one run by default its report.html")
    return made


def main(arguments: list[str]) -> None:
    """Write the page and print where it is. Status ≠ 0 if a run cannot be shown."""
    options = parser().parse_args(arguments)
    runs = list(dict.fromkeys(run_folders(options.folders)))
    if not runs:
        raise FomoError(f"{', '.join(map(str, options.folders))}: no run folder there, which would hold a {CONFIG}.")
    if len(runs) == 1:
        print(write_report(runs[0], out=options.out))
        return
    if options.out is None:
        raise FomoError(f"these are {len(runs)} runs: say where their page is to be written, as in --out runs.html.")
    problems = write_side_by_side(runs, options.out)
    print(options.out)
    if problems:
        raise FomoError(f"not all runs could be shown: {'; '.join(problems)}")
