"""Run folders, and submissions, among what was named."""

from collections.abc import Iterable
from pathlib import Path

from fomo.errors import FomoError
from fomo.results.layout import CONFIG
from fomo.results.submission import SUFFIX


def run_folders(folders: Iterable[Path]) -> list[Path]:
    """Each folder if it is a run's, else the runs in it.

    Raises:
        FomoError: one is not a folder.
    """
    return [run for folder in folders for run in _runs(folder)]


def _runs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FomoError(f"'{folder}' is not a folder: give run folders, or a folder of them.")
    below = (path.parent for path in folder.glob(f"**/{CONFIG}"))
    return [folder] if (folder / CONFIG).is_file() else sorted(below)


def results(places: Iterable[Path]) -> list[Path]:
    """Each place if it is a run folder or a file, taken for a submission; else the runs and submissions in it.

    Raises:
        FomoError: one is not there.
    """
    return [each for place in places for each in _results(place)]


def _results(place: Path) -> list[Path]:
    if place.is_file() or place.name.endswith(SUFFIX):
        return [place]
    return _runs(place) + sorted(place.glob(f"**/*{SUFFIX}"))
