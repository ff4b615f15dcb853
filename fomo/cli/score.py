"""``fomo score``: KA, ZS and GM per task and at the end, from ``scores.json`` alone."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from fomo.errors import FomoError
from fomo.results.scores import Point, Scores, read_scores
from fomo.system.text import escape


def main(arguments: list[str]) -> None:
    """Print a table per run, or one JSON list. Status ≠ 0 if a run is not finished."""
    parser = argparse.ArgumentParser("fomo score", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="run folders")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args(arguments)
    runs = [read_scores(folder) for folder in options.folders]
    if options.json:
        print(json.dumps([as_json(run) for run in runs], indent=1))
    else:
        Console().print(*map(table, runs))
    unfinished = [run for run in runs if not run.finished]
    if unfinished:
        raise FomoError("; ".join(f"{run.folder} is not finished" for run in unfinished))


def as_json(run: Scores) -> dict[str, Any]:
    """Path of the scores, the final ones ``null`` where the run is not finished."""
    points = [_plain(point) for point in run.points]
    about = {"run": str(run.folder), "finished": run.finished, "marks": list(run.caveats), "split": run.split}
    return about | {"tasks": points, "final": _plain(run.final) if run.finished else None}


def _plain(point: Point) -> dict[str, Any]:
    return asdict(point) | {"gm": point.gm}


def table(run: Scores) -> Table:
    """One row per update."""
    caveats = f" ({', '.join(run.caveats)})" if run.caveats else ""
    columns = (Column(name, justify="right") for name in ("update", "KA", "ZS", "GM"))
    result = Table(*columns, title=escape(f"{run.folder}{caveats}"))
    named = [("base" if point.task == 0 else str(point.task), point) for point in run.points]
    in_full = [(f"{'base' if each.task == 0 else each.task}, in full", run.point(each)) for each in run.in_full]
    for name, point in [*named, *in_full]:
        result.add_row(name, *(f"{value:.2f}" for value in (point.ka, point.zs, point.gm)))
    return result
