"""Run folders, and submissions, among what was named."""

import os
from collections.abc import Iterable
from pathlib import Path

from fomo.errors import FomoError
from fomo.results.layout import CHECKPOINTS, CONFIG, TENSORBOARD, WANDB, WORK
from fomo.results.submission import SUFFIX

OWN = {str(each) for each in (CHECKPOINTS, TENSORBOARD, WANDB, WORK)}
"""Folders in a run's that hold no other run, whatever their files are called: W&B has a ``config.yaml`` of its own."""


def run_folders(folders: Iterable[Path]) -> list[Path]:
    """Each folder if it is a run's, else the runs in it, each once.

    Raises:
        FomoError: one is not a folder.
    """
    return _each_once(run for folder in folders for run in _below(folder)[0])


def results(places: Iterable[Path]) -> list[Path]:
    """Each place if it is a run folder or a file, taken for a submission; else the runs and submissions in it.

    Raises:
        FomoError: one is not there.
    """
    return _each_once(each for place in places for each in _results(place))


def _results(place: Path) -> list[Path]:
    if place.is_file() or place.name.endswith(SUFFIX):
        return [place]
    runs, submissions = _below(place)
    return runs + submissions


def _below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The runs and the submissions in a folder. A link is followed where it leads to a run, and no further."""
    if not folder.is_dir():
        raise FomoError(f"'{folder}' is not a folder: give run folders, or a folder of them.")
    runs: list[Path] = []
    submissions: list[Path] = []
    if (folder / CONFIG).is_file():
        return [folder], sorted(folder.glob(f"**/*{SUFFIX}"))
    for place, folders, files in os.walk(folder):
        here = Path(place)
        submissions += [here / name for name in (*folders, *files) if name.endswith(SUFFIX)]
        if CONFIG in files:
            runs.append(here)
            folders[:] = [name for name in folders if name not in OWN]
        links = (here / name for name in folders if os.path.islink(here / name))
        runs += [link for link in links if (link / CONFIG).is_file()]
    return sorted(runs), sorted(submissions)


def _each_once(places: Iterable[Path]) -> list[Path]:
    """Of several names of one place the first, those that are no links before the others; in the order given."""
    listed = list(places)
    first: dict[str, Path] = {}
    for place in sorted(listed, key=Path.is_symlink):
        first.setdefault(real(place), place)
    kept = set(first.values())
    return [place for place in dict.fromkeys(listed) if place in kept]


def real(place: Path) -> str:
    """Where a place is behind its links, as far as they lead; one that leads to itself ends nothing."""
    return os.path.realpath(place)
