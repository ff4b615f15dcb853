"""What a logger is told: the run, and its points. A package brings one as an entry point ``fomo.loggers``."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomo.errors import FomoError


@dataclass(frozen=True)
class LoggedRun:
    """What a logger may know of a run.

    Args:
        id: Letters and digits that name this run in this folder, before and after a resume.
        folder: The run folder; a logger that writes files makes a folder of its own in it.
        label: What tables call the run.
        config: The resolved configuration, plain values.
    """

    id: str
    folder: Path
    label: str
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """Numbers of one moment of a run.

    Args:
        number: 0, 1, 2, … in the order of the run, the same for the same point when the run has gone on.
        task: The task's number, from 1; 0 before any update.
        step: Optimizer steps of the run so far.
        time: When it was, in seconds since 1970.
        values: Finite numbers by key; ``docs/logging.md`` lists the keys.
    """

    number: int
    task: int
    step: int
    time: float
    values: Mapping[str, float]


class Logger:
    """Hears of a run as it goes on. This one, ``log=none``, does nothing of it.

    Settings are the constructor's arguments, ``log.KEY=VALUE``. What it raises is said once, and ends it, not the run.
    It may neither draw from shared generators nor change anything of the run.
    """

    def begin(self, run: LoggedRun) -> None:
        """The run begins, or goes on: in either case every point from the first on is told after this."""

    def log(self, point: Point) -> None:
        """A point; those of before a resume come again, with the same numbers."""

    def end(self, finished: bool) -> None:
        """No more points come; ``finished``: every task is evaluated."""


def require(package: str, name: str) -> None:
    """Refuse the logger ``log=NAME`` whose ``package`` is not installed; the extra that brings it has the same name.

    Raises:
        FomoError: there is no such package.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:  # a folder of that name is no package
        raise FomoError(
            f"log={name} needs {package}, which a plain installation leaves out: pip install 'fomo-bench[{name}]'."
        )
