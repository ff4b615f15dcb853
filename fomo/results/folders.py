"""Run folders among those that were named."""

from collections.abc import Iterable
from pathlib import Path

from fomo.errors import FomoError
from fomo.results.layout import CONFIG


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
