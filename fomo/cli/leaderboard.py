"""``fomo leaderboard``: rank finished runs by GM, mean over seeds."""

import argparse
import json
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from fomo.errors import FomoError
from fomo.report.leaderboard import Board, BoardEntry, leaderboard
from fomo.system.text import escape, printable


def main(arguments: list[str]) -> None:
    """Print the table. A folder that holds run folders stands for all of them."""
    parser = argparse.ArgumentParser("fomo leaderboard", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders, or folders of them")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(arguments)
    board = leaderboard([run for folder in options.folders for run in expand(folder)])
    if options.json:
        entries = [entry.to_json() for entry in board.entries]
        print(json.dumps({"entries": entries, "refused": board.refused, "notes": board.notes}, indent=1))
    else:
        show(board, Console())
    if not board.entries:
        reasons = dict.fromkeys(board.refused.values()) or ["there is no run folder"]
        raise FomoError(f"nothing to rank: {'; '.join(reasons)}")


def expand(folder: Path) -> list[Path]:
    """The folder itself if it is a run, else the runs in it."""
    if not folder.is_dir():
        raise FomoError(f"'{folder}' is not a folder: give run folders, or a folder of them.")
    below = (path.parent for path in folder.glob("**/config.yaml"))
    return [folder] if (folder / "config.yaml").is_file() else sorted(below)


def show(board: Board, console: Console) -> None:
    """A table per track, then what was refused and why, and notes."""
    for track, entries in groupby(board.entries, key=lambda entry: entry.track):
        rank, *numbers = (Column(name, justify="right") for name in ("rank", "seeds", "KA", "ZS", "GM"))
        caption = "means over seeds, in percent; GM = √(KA·ZS)"
        table = Table(rank, "method", *numbers, "caveats", title=escape(track), caption=caption)
        for entry in entries:
            table.add_row(*row(entry))
        console.print(table)
    said = [f"not ranked: {reason}" for reason in dict.fromkeys(board.refused.values())]
    for line in [*said, *(f"note: {note}" for note in board.notes)]:
        console.print(printable(line), soft_wrap=True, highlight=False, markup=False)


def row(entry: BoardEntry) -> list[str]:
    """The cells of an entry."""
    spread = f" ± {entry.gm_deviation:.1f}" if entry.gm_deviation is not None else ""
    numbers = [f"{entry.ka:.1f}", f"{entry.zs:.1f}", f"{entry.gm:.1f}{spread}"]
    return [str(entry.rank), escape(entry.label), str(len(entry.seeds)), *numbers, escape(", ".join(entry.caveats))]
