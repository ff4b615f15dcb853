"""What proposes settings: the protocol of engines, which are options of the group ``tuner``."""

from collections.abc import Mapping
from typing import Protocol

from fomo.errors import FomoError
from fomo.results.tuning import Value


class Tuner(Protocol):
    """Proposes settings and is told what they are worth; more is better.

    It is made as ``make(space=…, **settings)``, ``space`` a :class:`fomo.config.space.Space`. What it proposes has to
    follow from its settings, from what it was told, in order, and from what it has proposed since: so a study that goes
    on, in a new process that tells it all trials of before, has the same next settings.
    """

    def ask(self) -> Mapping[str, Value]:
        """The next settings, a value for each key of the space; several may be asked for before any is told of."""

    def tell(self, overrides: Mapping[str, Value], value: float | None) -> None:
        """What settings, asked for or not, are worth; ``None``: they are not feasible."""


def extra_missing(tuner: str, package: str, extra: str) -> FomoError:
    """The error for an engine whose package is not installed."""
    return FomoError(f"tuner={tuner} needs {package}: pip install 'fomo-bench[{extra}]'.")
