"""``fomo report``: write the HTML page of a run anew."""

import argparse
from pathlib import Path

from fomo.report.page import write_report

EPILOG = """examples:
  fomo report runs/ID          while the run goes on, or after it"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo report", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folder", type=Path, metavar="DIR", help="a run folder, finished or not")
    return made


def main(arguments: list[str]) -> None:
    """Write ``DIR/report.html`` and print where it is."""
    print(write_report(parser().parse_args(arguments).folder))
