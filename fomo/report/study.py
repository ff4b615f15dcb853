"""A study: what methods reached, a table and a panel of the KA–ZS plane for every track; each against fine-tuning."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean

from fomo.errors import FomoError
from fomo.report.board import cell, differences, in_words, markdown_table, neighbours
from fomo.report.entries import MAIN, Board, BoardEntry, BoardRun
from fomo.report.labels import shared_settings, without
from fomo.report.leaderboard import leaderboard
from fomo.report.orders import by_order
from fomo.report.plane import plane
from fomo.report.rates import HEADS, about, cells, have_other_batches
from fomo.results.scores import Point, Scores
from fomo.results.statistics import sampling_error
from fomo.system.writing import write_bytes, write_text

ROLES = {"ka": "adaptation", "zs": "retention"}
REFERENCE = "finetune"
"""The method that all others of a track are compared with."""
ABOUT = (
    "Mean ± half of the 95 % interval over seeds (Student's t), in percent; GM = √(KA·ZS). Another choice of test "
    "images would move KA by {ka:.1f} and ZS by {zs:.1f} (one standard error), all rows alike."
)
PAIRED = (
    "Against `{method}`, run by run of the same seed: differences in points ± half of their 95 % interval. †: the "
    "interval leaves out 0. Of twenty such intervals of methods that do not differ one does so too."
)


def write_study(folders: Sequence[Path], base: Path) -> Path:
    """Write ``base.md``, the tables, and ``base.png``, the figure that it shows; give the place of the tables.

    Raises:
        FomoError: a run is not fit for a leaderboard, or the figure cannot be drawn; nothing is written then.
    """
    board = whole(leaderboard(folders))
    figure = plane(board)
    base.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(base.with_suffix(".png"), figure)
    write_text(base.with_suffix(".md"), page(board, base.name))
    return base.with_suffix(".md")


def whole(board: Board) -> Board:
    """The board of a study's runs.

    Raises:
        FomoError: a run is not on it.
    """
    if board.refused:
        raise FomoError(f"the study lacks a run. {'; '.join(dict.fromkeys(board.refused.values()))}")
    return board


def page(board: Board, name: str) -> str:
    """Figure and tables in Markdown, a section for every track, best first; then what several orders come to."""
    lines = [f"![KA–ZS plane]({name}.png)", ""]
    for track, entries in groupby(board.entries, key=lambda entry: entry.track):
        lines += _section(track, list(entries), board.runs)
    lines += by_order(board)
    return "\n".join(lines)


def _section(track: str, entries: Sequence[BoardEntry], known: Mapping[str, BoardRun]) -> Iterator[str]:
    title, hashes = in_words(track)
    settings = shared_settings([entry.label for entry in entries])
    labels = [without(entry.label, settings) for entry in entries]
    runs = [[known[name] for name in entry.folders] for entry in entries]
    errors = {of: fmean(_error(run.scores, role) for each in runs for run in each) for of, role in ROLES.items()}
    shared = f" All with {' '.join(settings)}." if settings else ""
    yield from (f"## {title}", "", f"{ABOUT.format(**errors)}{shared} Track: {hashes}.", "")
    yield from markdown_table(
        ("rank", "method", "settings", "seeds", "steps", "KA", "ZS", "GM"), map(_row, entries, labels, runs)
    )
    yield from ("", *(f"- {line}" for line in neighbours(entries, labels)), "")
    reference = next((number for number, label in enumerate(labels) if in_two(label)[0] == REFERENCE), None)
    if reference is not None:
        yield from _against(reference, labels, list(map(_by_seed, runs)))
    if have_other_batches(runs):
        rows = ((*in_two(label), *cells(of)) for label, of in zip(labels, runs, strict=True))
        yield from (about(runs), "", *markdown_table(HEADS, rows), "")


def in_two(label: str) -> tuple[str, str]:
    """A label as the method's name, which is its first word, and the settings."""
    method, _, settings = label.partition(" ")
    return method, settings


def _row(entry: BoardEntry, label: str, runs: Sequence[BoardRun]) -> Sequence[str]:
    scores = [cell(entry.metrics[name]) for name in MAIN]
    seeds = str(len(entry.seeds))
    return (str(entry.rank), *in_two(label), seeds, f"{runs[0].steps:,}", *scores)


def _error(scores: Scores, role: str) -> float:
    """The standard error of a run's final KA or ZS from the choice of test images, in points."""
    last = scores.ends[1]
    names = [name for name, about in scores.datasets.items() if about.role == role]
    return sampling_error([last.scores[name] for name in names], [scores.datasets[name].num_samples for name in names])


Points = Mapping[Hashable, Point]


def _by_seed(runs: Sequence[BoardRun]) -> Points:
    """The result of each run by seed and stream: runs of one seed on different streams are no pair."""
    return {(run.seed, run.scores.stream.sha256): run.scores.final for run in runs}


def _against(reference: int, labels: Sequence[str], points: Sequence[Points]) -> Iterator[str]:
    """The table of all others minus the entry of that number."""
    yield from (PAIRED.format(method=labels[reference]), "")
    base = points[reference]
    others = [number for number in range(len(labels)) if number != reference]
    rows = (
        (*in_two(labels[number]), _num_pairs(points[number], base), *differences(points[number], base))
        for number in others
    )
    yield from markdown_table(("method", "settings", "seeds", "ΔKA", "ΔZS", "ΔGM"), rows)
    yield ""


def _num_pairs(own: Points, theirs: Points) -> str:
    return str(len(own.keys() & theirs.keys()))
