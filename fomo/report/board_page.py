"""The leaderboard as one HTML page that needs no other file and no network: tables to sort and filter, KA–ZS planes,
and for every entry the curves and accuracy matrices of its runs.

The tables are in the page as text, and readable without scripts. What the scripts draw lies beside them as JSON: scores
in hundredths of a percent, every name as plain text, which the scripts never take for markup. A policy in the page
allows these scripts alone (by hash), and no address.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from fomo.errors import FomoError
from fomo.report.board import UNITS, TrackTable, above, cell, outside, tables
from fomo.report.entries import MAIN, Board, BoardEntry, BoardRun
from fomo.report.families import FAMILIES, family
from fomo.report.within import Placed, placed
from fomo.results.scores import Scores
from fomo.results.statistics import Interval
from fomo.system.text import in_page

FILTERS = ("stream", "model", "budget", "family")
BREAKS = re.compile(r"(?<=[._=,/])(?=\w)")
HUNDREDTHS = 100
MAX_TASKS = 200
"""A matrix of more tasks would be too much for a page, and says nothing to an eye."""


def board_page(board: Board) -> str:
    """The HTML text.

    Raises:
        FomoError: the plotting library is not installed.
    """
    scripts = _scripts()
    entries = [_Shown(entry, board.runs) for entry in board.entries]
    choices = {name: sorted({each.kinds[name] for each in entries}) for name in FILTERS}
    sections = [
        _section(table, list(of_track))
        for table, (_, of_track) in zip(tables(board), groupby(entries, key=lambda each: each.entry.track), strict=True)
    ]
    data = {"families": _families(), "filters": choices, "sections": [each["data"] for each in sections]}
    return _template().render(
        sections=sections,
        choices={name: list(map(in_page, values)) for name, values in choices.items()},
        families=FAMILIES,
        numbers={each.name: number for number, each in enumerate(FAMILIES.values())},
        num_runs=len(board.runs),
        refused=[(in_page(name), in_page(reason)) for name, reason in board.refused.items()],
        notes=[in_page(line) for line in outside(Board(board.entries, {}, board.notes))],
        style=Markup(_part("board.css")),
        data=Markup(as_script(data)),
        scripts=list(map(Markup, scripts)),
        policy=" ".join(["script-src", *scripts.values()]),
    )


def plotly_source() -> str:
    """plotly.js as the installed plotly brings it.

    Raises:
        FomoError: it is not installed.
    """
    try:
        return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    except (ImportError, OSError):
        raise FomoError(
            "the page needs plotly, which a plain installation leaves out: pip install 'fomo-bench[board]'. "
            "Tables need nothing: --format markdown, latex, csv or json."
        ) from None


@cache
def _template() -> Template:
    environment = Environment(loader=PackageLoader("fomo.report"), autoescape=True, undefined=StrictUndefined)
    environment.filters["breakable"] = breakable
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment.get_template("board.html")


def breakable(text: str) -> Markup:
    """``text``, escaped, whose lines may break behind the signs that hold its words together."""
    return Markup("<wbr>").join(BREAKS.split(text))


def _part(name: str) -> str:
    return (files("fomo.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _scripts() -> dict[str, str]:
    """The scripts, and how a policy names each that may run (Content Security Policy, level 3)."""
    scripts = [plotly_source(), _part("board.js")]
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    return {script: f"'sha256-{digest}'" for script, digest in zip(scripts, digests, strict=True)}


def as_script(data: Any) -> str:
    """JSON that no parser of HTML takes for anything else: the sign that opens a tag is escaped."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _families() -> dict[str, dict[str, str]]:
    return {each.name: each._asdict() for each in FAMILIES.values()}


class _Shown:
    """An entry with its runs, and what it can be chosen by."""

    def __init__(self, entry: BoardEntry, runs: Mapping[str, BoardRun]) -> None:
        self.entry = entry
        self.runs = [runs[name] for name in entry.folders]
        first = self.runs[0]
        self.family = FAMILIES[family(first.values)]
        unit, _, total = first.budget.partition(" ")
        self.kinds = {
            "stream": in_page(first.scores.stream.name),
            "model": in_page(_model(first.values.get("model", {}))),
            "budget": in_page(f"{total} {UNITS.get(unit, unit)}"),
            "family": self.family.name,
        }


def _model(values: Mapping[str, Any]) -> str:
    """What a configuration calls its model, and which of its weights; of a guest's that has no name, its target."""
    name = values.get("name") or values.get("_target_") or "unknown"
    return f"{name} ({values['pretrained']})" if values.get("pretrained") else str(name)


def _section(table: TrackTable, entries: Sequence[_Shown]) -> dict[str, Any]:
    """A track: its words, its rows as text, and what is drawn of it."""
    extra = list(dict.fromkeys(name for each in entries for name in each.entry.metrics if name not in MAIN))
    names = [*MAIN, *extra]
    labels = [in_page(row[table.heads.index("method")]) for row in table.rows]
    rows = [
        {
            "rank": each.entry.rank,
            "label": label,
            "family": each.family,
            "seeds": ", ".join(map(str, each.entry.seeds)),
            "cells": [_cell(each.entry.metrics.get(name)) for name in names],
            "front": each.entry.on_front,
        }
        for each, label in zip(entries, labels, strict=True)
    ]
    return {
        "title": in_page(table.title),
        "about": [in_page(line) for line in above(table)[:-1]],
        "below": [in_page(line) for line in table.below],
        "metrics": [name.upper() if name in MAIN else in_page(name) for name in names],
        "rows": rows,
        "data": {"entries": [_data(each, names) for each in entries]},
    }


def _cell(value: Interval | None) -> tuple[str, str]:
    """A mean, and what follows it: its interval."""
    mean, _, half = cell(value).partition(" ")
    return mean, half


def _data(shown: _Shown, names: Sequence[str]) -> dict[str, Any]:
    """An entry for the scripts; what the table says is not said again."""
    metrics = shown.entry.metrics
    return {
        "rank": shown.entry.rank,
        "kinds": [shown.kinds[name] for name in FILTERS],
        "means": [_hundredths(metrics[name].mean) if name in metrics else None for name in names],
        "halves": [_hundredths(metrics[name].half_width) if name in metrics else None for name in MAIN],
        "front": int(shown.entry.on_front),
        "marks": list(map(in_page, shown.entry.caveats)),
        "runs": [_run(run) for run in shown.runs],
    }


def _run(run: BoardRun) -> list[Any]:
    """Name, seed, where its evaluations lie, their KA and ZS, accuracy matrix by rows, whether of a part of the images.

    Where they lie is in hundredths of updates; whole updates are the rows of the matrix.
    """
    found = placed(run.scores, run.steps_of)
    points = [run.scores.point(each.of) for each in found]
    return [
        in_page(run.name),
        run.seed,
        list(map(_at, found)),
        [_hundredths(point.ka) for point in points],
        [_hundredths(point.zs) for point in points],
        _matrix(run.scores),
        int(bool(run.scores.in_full)),
    ]


def _at(each: Placed) -> int:
    """In hundredths of an update; what lies within one never falls on its ends."""
    after = each.of.task * HUNDREDTHS
    inside = min(max(int(each.at * HUNDREDTHS), after - HUNDREDTHS + 1), after - 1)
    return after if each.ends_update else inside


def _matrix(scores: Scores) -> list[list[int | None]]:
    """A row for every evaluation, the first before any update: the accuracy on each task's concepts, where there is."""
    tasks = range(1, scores.num_tasks + 1) if scores.num_tasks <= MAX_TASKS else ()
    return [[_hundredths(evaluation.tasks.get(task)) for task in tasks] for evaluation in scores.evaluations]


def _hundredths(value: float | None) -> int | None:
    return None if value is None else round(value * HUNDREDTHS)
