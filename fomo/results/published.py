"""Scores that somebody has published, in a file of tab-separated values with the columns ``dataset`` and ``score``."""

import csv
import io
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.system.reading import read_text

MAX_BYTES = 2**24
COLUMNS = ("dataset", "score")


def read_published(path: Path) -> dict[str, float]:
    """Scores in percent by dataset.

    Raises:
        FomoError: the file is not there, lacks a column, names a dataset twice, or has what is no percentage.
    """
    rows = csv.DictReader(io.StringIO(read_text(path, MAX_BYTES)), delimiter="\t")
    lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if lacking:
        raise FomoError(f"{path}: it has no column '{lacking[0]}'. Expected are dataset and score, with a tab between.")
    found: dict[str, float] = {}
    for number, row in enumerate(rows, start=2):
        name = row["dataset"]
        if not name or name in found:
            raise FomoError(f"{path}, line {number}: {f'{name!r} stands twice' if name else 'it names no dataset'}.")
        found[name] = _percent(path, number, row["score"])
    return found


def _percent(path: Path, number: int, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 100:
        raise FomoError(f"{path}, line {number}: the score is {text!r}, no percentage.")
    return value


@dataclass(frozen=True)
class Compared:
    """Scores beside published ones: the ``differences`` in points by dataset, and those that only one side has."""

    differences: Mapping[str, float]
    not_published: tuple[str, ...]
    not_scored: tuple[str, ...]

    @property
    def mean_distance(self) -> float | None:
        """Mean of the absolute differences; ``None``: no dataset is on both sides."""
        return statistics.fmean(map(abs, self.differences.values())) if self.differences else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        sides = {"not_published": list(self.not_published), "not_scored": list(self.not_scored)}
        return {"differences": dict(self.differences), "mean_distance": self.mean_distance, **sides}


def compared(scores: Mapping[str, float], published: Mapping[str, float]) -> Compared:
    """Scores minus published ones."""
    differences = {name: score - published[name] for name, score in scores.items() if name in published}
    return Compared(differences, tuple(sorted(scores.keys() - published)), tuple(sorted(published.keys() - scores)))
