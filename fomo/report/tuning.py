"""A study on the validation split: the trials of each method, and the settings that were chosen by them."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from fomo.errors import FomoError
from fomo.report.board import in_words, markdown_row
from fomo.report.entries import BoardEntry
from fomo.report.leaderboard import leaderboard
from fomo.report.study import in_two, whole
from fomo.system.writing import write_text

CHOSEN = "✓"
ABOUT = "Validation split, {track}. Of {trials} trials of a method that of the highest GM = √(KA·ZS) is chosen: {mark}"


def write_tuning(folders: Sequence[Path], base: Path) -> Path:
    """Write ``base.md``, a table of all trials with the chosen ones marked, and what a study takes as its settings.

    Raises:
        FomoError: a run is not finished or not of the validation split, or they are of several tracks.
    """
    entries = whole(leaderboard(folders, split="validation")).entries
    if len({entry.track for entry in entries}) > 1:
        raise FomoError("the trials are of several tracks, and cannot be compared.")
    base.parent.mkdir(parents=True, exist_ok=True)
    write_text(base.with_suffix(".md"), page(entries))
    return base.with_suffix(".md")


def page(entries: Sequence[BoardEntry]) -> str:
    """The table, method by method from the best trial to the worst, and the settings in YAML."""
    methods = [list(trials) for _, trials in groupby(sorted(entries, key=_method), key=_method)]
    numbers = ", ".join(map(str, sorted({len(trials) for trials in methods})))
    about = ABOUT.format(track=in_words(entries[0].track)[0], trials=numbers, mark=CHOSEN)
    rows = [row for trials in methods for row in _rows(trials)]
    chosen = ["  {}: [{}]".format(*in_two(best.label)) for best, *_ in map(_best_first, methods)]
    heads = ("method", "settings", "KA", "ZS", "GM", "chosen")
    aligned = ("---", "---", "--:", "--:", "--:", ":-:")
    return "\n".join(
        [about, "", *map(markdown_row, (heads, aligned, *rows)), "", "```yaml", "settings:", *chosen, "```", ""]
    )


def _method(entry: BoardEntry) -> str:
    return in_two(entry.label)[0]


def _best_first(trials: Sequence[BoardEntry]) -> list[BoardEntry]:
    return sorted(trials, key=lambda entry: (-entry.gm, entry.label))


def _rows(trials: Sequence[BoardEntry]) -> Iterator[tuple[str, ...]]:
    for place, entry in enumerate(_best_first(trials)):
        numbers = [f"{value:.1f}" for value in (entry.ka, entry.zs, entry.gm)]
        yield (*in_two(entry.label), *numbers, "" if place else CHOSEN)
