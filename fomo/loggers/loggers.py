"""The loggers of a run together: they are told its points, and none of them can end it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fomo.loggers.logger import LoggedRun, Logger
from fomo.loggers.points import Points
from fomo.results.events import read_events
from fomo.results.scores import Scores
from fomo.system.text import first_line

_log = logging.getLogger(__name__)


class Loggers:
    """Tells each logger every point; one that fails is left out from there on, which is said once.

    Args:
        loggers: By the name of the section that configures each; none in a process that does not log.
    """

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = {name: logger for name, logger in loggers.items() if type(logger) is not Logger}
        self._points = Points()
        self._hears = False

    @contextmanager
    def hearing(self, run: LoggedRun, scores: Scores) -> Iterator[None]:
        """While open, events are told; first those that the folder of the ``run`` holds already, with their scores."""
        self._each("begin", run)
        self._hears = bool(self._loggers)
        with self._kept_from_failing():
            for event in read_events(run.folder) if self._hears else ():
                self.hear(event, scores)
        finished = False
        try:
            yield
            finished = True
        finally:
            self._hears = False
            self._each("end", finished)

    def hear(self, event: Mapping[str, Any], scores: Scores) -> None:
        """Tell the point of an event, if it has one."""
        with self._kept_from_failing():
            point = self._points.of(event, scores) if self._hears else None
            if point:
                self._each("log", point)

    def _each(self, what: str, argument: Any) -> None:
        for name, logger in list(self._loggers.items()):
            with self._kept_from_failing(name):
                getattr(logger, what)(argument)

    @contextmanager
    def _kept_from_failing(self, name: str = "") -> Iterator[None]:
        """While open, an error ends the logger ``name``, or all of them, and not the run."""
        try:
            yield
        except (Exception, SystemExit) as error:  # whatever a library raises
            ended = {each: self._loggers.pop(each) for each in ([name] if name else list(self._loggers))}
            names = ", ".join(f"{each} ({type(logger).__name__})" for each, logger in ended.items())
            said = f"{type(error).__name__}: {first_line(error)}"
            _log.warning("%s fails, and hears no more of the run, which goes on: %s", names, said)
