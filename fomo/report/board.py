"""A leaderboard as a table: what is said once above it, its cells, the lines below; Markdown, LaTeX and CSV of it."""

import csv
import io
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from fomo.report.entries import MAIN, Board, BoardEntry
from fomo.report.labels import in_all, shared_settings, without
from fomo.results.scores import Point
from fomo.results.statistics import Comparison, Interval, compare
from fomo.system.text import one_line, printable, spreadsheet

HASHES = re.compile(r"(setting|datasets|data|measured|base) [0-9a-f]{6}")
UNITS = {"total_mafs": "MAFs (GFLOPs)", "total_gflops": "GFLOPs", "wall_seconds": "seconds of wall clock"}
"""Units of budgets that are called otherwise in words."""
FRONT = "*"
CAPTION = (
    "Mean ± 95 % interval over seeds (Student's t) in percent; of one seed there is none (–). "
    f"GM = √(KA·ZS). {FRONT}: on the Pareto front, no entry has as much of KA and ZS and more of one."
)
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "√": r"$\surd$",
    "·": r"$\cdot$",
    "–": "--",
    "−": "$-$",
}
MARKDOWN = re.compile(r"([\\`*_\[\]<>|~&#])")


@dataclass(frozen=True)
class TrackTable:
    """The entries of one track: its title in words, its hashes, what all entries share, a row each, lines below."""

    title: str
    hashes: str
    shared: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    below: tuple[str, ...]


def tables(board: Board) -> Iterator[TrackTable]:
    """A table for every track."""
    for track, of_track in groupby(board.entries, key=lambda entry: entry.track):
        yield _table(track, list(of_track))


def _table(track: str, entries: Sequence[BoardEntry]) -> TrackTable:
    """What all entries have alike stands above the table: seeds, caveats, settings that all labels name."""
    extra = list(dict.fromkeys(name for entry in entries for name in entry.metrics if name not in MAIN))
    settings = shared_settings([entry.label for entry in entries])
    caveats = in_all([entry.caveats for entry in entries])
    seeds = in_all([[_seeds(entry)] for entry in entries])
    labels = [without(entry.label, settings) for entry in entries]
    heads = ("rank", "method", *([] if seeds else ["seeds"]), "KA", "ZS", "GM", *extra, "front")
    rows = []
    for entry, label in zip(entries, labels, strict=True):
        cells = [cell(entry.metrics.get(name)) for name in (*MAIN, *extra)]
        own_seeds = [] if seeds else [_numbers(entry.seeds)]
        rows.append((str(entry.rank), label, *own_seeds, *cells, FRONT if entry.on_front else ""))
    shared = "; ".join(filter(None, [" ".join(settings), *seeds, ", ".join(caveats)]))
    below = (*neighbours(entries, labels), *_own_caveats(entries, caveats))
    return TrackTable(*in_words(track), shared, heads, tuple(rows), below)


def _numbers(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _seeds(entry: BoardEntry) -> str:
    return f"seed{'s' * (len(entry.seeds) > 1)} {_numbers(entry.seeds)}"


def _own_caveats(entries: Sequence[BoardEntry], shared: Sequence[str]) -> Iterator[str]:
    """What keeps single rows from being compared freely, by caveat."""
    for caveat in dict.fromkeys(each for entry in entries for each in entry.caveats if each not in shared):
        rows = [number for number, entry in enumerate(entries, start=1) if caveat in entry.caveats]
        yield f"row{'s' * (len(rows) > 1)} {_numbers(rows)}: {caveat}."


def in_words(track: str) -> tuple[str, str]:
    """What the runs of a track share, for people; and its hashes, for whoever compares two tracks."""
    *parts, budget = track.split(", ")
    unit, _, total = budget.partition(" ")
    stream, *others = [part for part in parts if not HASHES.fullmatch(part)]
    words = [_in_words(part) for part in others]
    words.append(f"budget {total} {UNITS.get(unit, unit)}")
    return ", ".join([f"{stream} stream", *words]), ", ".join(filter(HASHES.fullmatch, parts))


def _in_words(part: str) -> str:
    part = re.sub(r"^ordering (\w+)$", r"\1 order", part)
    return re.sub(r"^scores (\S+)$", r"score version \1", part)


def cell(value: Interval | None) -> str:
    """``71.8 ± 3.2``; ``71.8 ± –`` where there is no interval, a dash where there is no number."""
    if value is None:
        return "–"
    return f"{value.mean:.1f} ± " + ("–" if value.half_width is None else f"{value.half_width:.1f}")


def differences(own: Mapping[Hashable, Point], theirs: Mapping[Hashable, Point]) -> list[str]:
    """Cells of :data:`MAIN`, paired by key: ``+1.8 ± 1.4 †``, the mark where the interval leaves out 0."""
    values = [[{key: getattr(point, name) for key, point in of.items()} for of in (own, theirs)] for name in MAIN]
    return [difference_cell(compare(*each)) for each in values]


def difference_cell(found: Comparison) -> str:
    """A difference in points; a dash where there is no pair."""
    if found.difference is None:
        return "–"
    spread = "–" if found.difference.half_width is None else f"{found.difference.half_width:.1f}"
    return f"{found.difference.mean:+.1f} ± {spread}{' †' if found.differs else ''}"


def neighbours(entries: Sequence[BoardEntry], labels: Sequence[str]) -> Iterator[str]:
    """Which neighbours cannot be told apart by GM, and for which the seeds are too few to say."""
    untold = []
    for number, (entry, names) in enumerate(zip(entries, pairwise(labels), strict=False), start=1):
        found = entry.against_next
        if found is None or found.difference is None or found.differs is None:
            untold.append(f"{number}–{number + 1}")
        elif not found.differs:
            by = f"GM {found.difference.mean:+.1f} ± {found.difference.half_width:.1f}"
            seeds = f"{found.difference.num} seeds in common"
            yield f"rows {number} and {number + 1} cannot be told apart: {' and '.join(names)} ({by}, {seeds})."
    if untold:
        yield f"rows {', '.join(untold)}: fewer than two seeds in common, so nothing can be told of their order."


def outside(board: Board) -> list[str]:
    """Why runs are not ranked, and notes, a line each."""
    said = [f"not ranked: {reason}" for reason in dict.fromkeys(board.refused.values())]
    return [printable(line) for line in [*said, *(f"note: {note}" for note in board.notes)]]


def above(table: TrackTable) -> list[str]:
    """What is said of a table between its title and its rows, a sentence each."""
    said = {"All with": table.shared, "Track:": table.hashes}
    return [*(f"{words} {text}." for words, text in said.items() if text), CAPTION]


def markdown(board: Board) -> str:
    """Every track with a heading; what is not ranked as a list."""
    lines: list[str] = []
    for table in tables(board):
        lines += [f"## {_markdown(table.title)}", "", _markdown(" ".join(above(table))), ""]
        lines += [
            markdown_row(table.heads),
            markdown_row(["---" if each == "method" else "--:" for each in table.heads]),
        ]
        lines += map(markdown_row, table.rows)
        lines += ["", *(f"- {_markdown(each)}" for each in table.below), ""]
    return "\n".join([*lines, *(f"- {_markdown(each)}" for each in outside(board))]).rstrip()


def markdown_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table in Markdown, a line each; words stand left, numbers right."""
    aligned = ["---" if head in ("method", "settings", "order", "apart") else "--:" for head in heads]
    yield from map(markdown_row, (heads, aligned, *rows))


def markdown_row(cells: Iterable[str]) -> str:
    """A row of a table in Markdown; what would be read as Markdown in a cell stays text."""
    return f"| {' | '.join(map(_markdown, cells))} |"


def _markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", one_line(text))


def latex(board: Board) -> str:
    """A ``tabular`` with rules of booktabs for every track, what is said of it as comments above."""
    lines: list[str] = []
    for table in tables(board):
        lines += _comments([table.title, *above(table), *table.below])
        columns = "".join("l" if head == "method" else "r" for head in table.heads)
        lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _row(table.heads), r"\midrule"]
        lines += [*map(_row, table.rows), r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join([*lines, *_comments(outside(board))]).rstrip()


def _comments(lines: Sequence[str]) -> list[str]:
    return [f"% {one_line(line)}" for line in lines]


def _row(cells: Sequence[str]) -> str:
    return " & ".join("".join(LATEX.get(sign, sign) for sign in one_line(text)) for text in cells) + r" \\"


def comma_separated(board: Board) -> str:
    """One table of all entries, numbers in full: CSV by RFC 4180, an empty field for what is not there."""
    names = list(dict.fromkeys([*MAIN, *(name for entry in board.entries for name in entry.metrics)]))
    columns = [column for name in names for column in (name, f"{name}_half_width")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = ("track", "rank", "method", "num_seeds", "seeds", *columns, "on_front", "differs_from_next", "caveats")
    writer.writerows([heads, *(map(spreadsheet, _fields(entry, names)) for entry in board.entries)])
    return text.getvalue().rstrip("\n")


def _fields(entry: BoardEntry, names: Sequence[str]) -> Iterator[Any]:
    yield from (entry.track, entry.rank, entry.label, len(entry.seeds), " ".join(map(str, entry.seeds)))
    for value in map(entry.metrics.get, names):
        yield from (value.mean, value.half_width) if value else (None, None)
    yield from (entry.on_front, entry.against_next and entry.against_next.differs, ", ".join(entry.caveats))
