"""``fomo leaderboard``: rank finished runs by GM, mean over seeds, and say which of them differ."""

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from fomo.cli.screen import fitting, print_json, screen
from fomo.errors import FomoError
from fomo.report.board import CAPTION, above, comma_separated, latex, markdown, outside, tables
from fomo.report.board_page import board_page, plotly_source
from fomo.report.entries import Board
from fomo.report.leaderboard import leaderboard
from fomo.results.folders import results
from fomo.results.measures import names_in
from fomo.system.text import printable
from fomo.system.writing import write_text

FORMATS = ("terminal", "markdown", "latex", "csv", "json")
EPILOG = """examples:
  fomo leaderboard runs                               every finished run below runs, a table per track
  fomo leaderboard runs --metrics forgetting,last     more columns; `fomo score --help` lists the metrics
  fomo leaderboard runs --format latex > board.tex    or markdown, csv, json
  fomo leaderboard runs --html board.html             a page to sort and filter; needs plotly: fomo-bench[board]
  fomo leaderboard results theirs.fomo.zip            submissions (fomo submit) as well as run folders
  fomo leaderboard verify theirs.fomo.zip             is it fit? `fomo leaderboard verify --help` says more"""


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        "fomo leaderboard", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="runs, submissions, folders of them")
    made.add_argument("--metrics", metavar="NAME,…", help="further metrics to show, or all")
    made.add_argument("--format", choices=FORMATS, default="terminal", help="how to print it (default: terminal)")
    made.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    made.add_argument("--html", type=Path, metavar="FILE", help="write a page too, to sort, filter and click")
    return made


def main(arguments: list[str]) -> None:
    """Print the table. A folder stands for all runs and submissions in it; ``verify`` is a command of its own."""
    if arguments[:1] == ["verify"]:
        from fomo.cli import verify

        return verify.main(arguments[1:])
    options = parser().parse_args(arguments)
    if options.html is not None:
        _check_page(options.html)
    board = leaderboard(results(options.folders), names_in(options.metrics))
    if options.html is not None and board.entries:
        write_text(options.html, board_page(board))
        print(f"page: {options.html}", file=sys.stderr)
    if options.format == "terminal":
        show(board, screen())
    elif options.format == "json":
        print_json(as_json(board))
    else:
        print({"markdown": markdown, "latex": latex, "csv": comma_separated}[options.format](board))
    if options.format == "csv":  # which has no place for it
        print(*outside(board), sep="\n", end="\n" if outside(board) else "", file=sys.stderr)
    if not board.entries:
        reasons = dict.fromkeys(board.refused.values()) or ["there is no run folder and no submission"]
        raise FomoError(f"nothing to rank: {'; '.join(reasons)}")


def _check_page(file: Path) -> None:
    """Refuse, before anything is read, a page that could not be made or written.

    Raises:
        FomoError: its folder is not there, or plotly is missing.
    """
    if not file.parent.is_dir() or file.is_dir():
        raise FomoError(f"--html {file}: " + ("it is a folder." if file.is_dir() else f"no folder '{file.parent}'."))
    plotly_source()


def as_json(board: Board) -> dict[str, Any]:
    """Entries, reasons and notes."""
    return {"entries": [entry.to_json() for entry in board.entries], "refused": board.refused, "notes": board.notes}


def show(board: Board, console: Console) -> None:
    """A table per track, then what was refused and why, and notes."""
    for track in tables(board):
        for line in (track.title, *above(track)[:-1]):
            _say(console, line)
        for table in fitting(track.heads, track.rows, ("method",), console.width):
            console.print(table)
        for line in track.below:
            _say(console, line)
        console.print()
    if board.entries:
        _say(console, CAPTION)
    for line in outside(board):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _say(console: Console, text: str) -> None:
    console.print(printable(text), highlight=False, markup=False)
