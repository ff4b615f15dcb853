"""A leaderboard as a table: what is said once above it, its cells, and the lines below; Markdown, LaTeX and CSV of it."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from fomo.report.leaderboard import MAIN, Board, BoardEntry
from fomo.results.statistics import Interval
from fomo.system.text import printable

HASHES = re.compile(r"(setting|datasets|data|base) [0-9a-f]{6}")
UNITS = {"total_mafs": "{} MAFs (GFLOPs)", "total_gflops": "{} GFLOPs", "steps": "{} steps"}
SETTING = re.compile(r"[\w.]+=[^\s\[\](){}]+")
"""A word of a label that names one setting."""
FRONT = "*"
CAPTION = (
    "Mean ± 95 % interval over seeds (Student's t) in percent; one seed has none. GM = √(KA·ZS). "
    f"{FRONT}: on the Pareto front, no entry has as much of KA and ZS and more of one."
)
LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
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
    extra = list(dict.fromkeys(name for entry in entries for name in entry.metrics if name not in MAIN))
    caveats = _shared([entry.caveats for entry in entries])
    settings = _shared([SETTING.findall(entry.label) for entry in entries]) if len(entries) > 1 else []
    own = [", ".join(each for each in entry.caveats if each not in caveats) for entry in entries]
    rows = [
        (str(entry.rank), _label(entry.label, settings), str(len(entry.seeds)))
        + tuple(cell(entry.metrics.get(name)) for name in (*MAIN, *extra))
        + (FRONT if entry.on_front else "",)
        + ((said,) if any(own) else ())
        for entry, said in zip(entries, own, strict=True)
    ]
    heads = ("rank", "method", "seeds", "KA", "ZS", "GM", *extra, "front", *(["caveats"] if any(own) else []))
    shared = "; ".join(filter(None, [" ".join(settings), ", ".join(caveats)]))
    return TrackTable(*in_words(track), shared, heads, tuple(rows), tuple(neighbours(entries)))


def in_words(track: str) -> tuple[str, str]:
    """What the runs of a track share, for people; and its hashes, for whoever compares two tracks."""
    *parts, budget = track.split(", ")
    unit, _, total = budget.partition(" ")
    stream, *others = [part for part in parts if not HASHES.fullmatch(part)]
    words = [re.sub(r"^ordering (\w+)$", r"\1 order", part) for part in others]
    words.append(f"budget {UNITS.get(unit, unit + ' {}').format(total)}")
    return ", ".join([f"{stream} stream", *words]), ", ".join(filter(HASHES.fullmatch, parts))


def _shared(lists: Sequence[Sequence[str]]) -> list[str]:
    """What is in every list, in the order of the first."""
    return [each for each in lists[0] if all(each in other for other in lists)]


def _label(label: str, shared: Sequence[str]) -> str:
    return " ".join(word for word in label.split(" ") if word not in shared)


def cell(value: Interval | None) -> str:
    """``71.8 ± 3.2``; a mean alone where there is no interval, a dash where there is no number."""
    if value is None:
        return "–"
    return f"{value.mean:.1f}" + ("" if value.half_width is None else f" ± {value.half_width:.1f}")


def neighbours(entries: Sequence[BoardEntry]) -> Iterator[str]:
    """Which neighbours cannot be told apart by GM, and for which the seeds are too few to say."""
    untold = []
    for number, (entry, after) in enumerate(pairwise(entries), start=1):
        found = entry.against_next
        if found is None or found.difference is None or found.differs is None:
            untold.append(f"{number}–{number + 1}")
        elif not found.differs:
            by = f"GM {found.difference.mean:+.1f} ± {found.difference.half_width:.1f}"
            names = f"{entry.label} and {after.label}"
            yield f"rows {number} and {number + 1} cannot be told apart: {names} ({by}, {found.difference.num} seeds)."
    if untold:
        yield f"rows {', '.join(untold)}: fewer than two seeds in common, so nothing can be told of their order."


def outside(board: Board) -> list[str]:
    """Why runs are not ranked, and notes, a line each."""
    said = [f"not ranked: {reason}" for reason in dict.fromkeys(board.refused.values())]
    return [printable(line) for line in [*said, *(f"note: {note}" for note in board.notes)]]


def markdown(board: Board) -> str:
    """Every track with a heading; what is not ranked as a list."""
    lines: list[str] = []
    for table in tables(board):
        about = [f"All with {table.shared}." if table.shared else "", CAPTION, f"Track: {table.hashes}."]
        lines += [f"## {_markdown(table.title)}", "", _markdown(" ".join(filter(None, about))), ""]
        lines += [
            _line(table.heads),
            _line(["---" if each in ("method", "caveats") else "--:" for each in table.heads]),
        ]
        lines += [_line(map(_markdown, row)) for row in table.rows]
        lines += ["", *(f"- {_markdown(each)}" for each in table.below), ""]
    return "\n".join([*lines, *(f"- {_markdown(each)}" for each in outside(board))]).rstrip()


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", printable(text)).replace("\n", " ")


def latex(board: Board) -> str:
    """A ``tabular`` with rules of booktabs for every track, what is said of it as comments above."""
    lines: list[str] = []
    for table in tables(board):
        said = [table.title, f"track: {table.hashes}", f"all with {table.shared}" if table.shared else "", CAPTION]
        lines += _comments([*said, *table.below])
        columns = "".join("l" if head in ("method", "caveats") else "r" for head in table.heads)
        lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _row(table.heads), r"\midrule"]
        lines += [*map(_row, table.rows), r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join([*lines, *_comments(outside(board))]).rstrip()


def _comments(lines: Sequence[str]) -> list[str]:
    return [f"% {printable(line)}".replace("\n", " ") for line in lines if line]


def _row(cells: Sequence[str]) -> str:
    return " & ".join("".join(LATEX.get(sign, sign) for sign in printable(text)) for text in cells) + r" \\"


def comma_separated(board: Board) -> str:
    """One table of all entries, numbers in full: CSV by RFC 4180, an empty field for what is not there."""
    names = list(dict.fromkeys([*MAIN, *(name for entry in board.entries for name in entry.metrics)]))
    heads = ["track", "rank", "method", "num_seeds", "seeds"]
    heads += [column for name in names for column in (name, f"{name}_half_width")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*heads, "on_front", "differs_from_next", "caveats"])
    for entry in board.entries:
        values = [entry.metrics.get(name) for name in names]
        numbers = [part for each in values for part in ((each.mean, each.half_width) if each else (None, None))]
        head = [entry.track, entry.rank, entry.label, len(entry.seeds), " ".join(map(str, entry.seeds))]
        differs = entry.against_next and entry.against_next.differs
        writer.writerow([*head, *numbers, entry.on_front, differs, ", ".join(entry.caveats)])
    return text.getvalue().rstrip("\n")
