"""``fomo report``: write the HTML page of a run anew."""

import argparse
from pathlib import Path

from fomo.report.page import write_report

EPILOG = """examples:
  fomo report runs/ID          while the run goes on, or after it"""


def main(arguments: list[str]) -> None:
    """Write ``DIR/report.html`` and print where it is."""
    parser = argparse.ArgumentParser(
        "fomo report", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a run folder, finished or not")
    print(write_report(parser.parse_args(arguments).folder))
