"""Jobs whose process runs a few lines of Python in place of ``fomo run``, and a sweep's audience that remembers."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fomo.config.schema import Resolved
from fomo.launching.job import Job
from fomo.launching.launcher import Counts
from fomo.running.run import Nobody
from tests import tiny


@dataclass(frozen=True)
class Script(Job):
    """A job whose process runs ``code``."""

    code: str = ""

    @property
    def command(self) -> tuple[str, ...]:
        """Python, and the code."""
        return (sys.executable, "-c", self.code)


@cache
def resolved() -> Resolved:
    """The tiny experiment."""
    return tiny.resolved()


def script(number: int, place: Path, code: str, gpus: int = 0) -> Script:
    """A job in ``place``."""
    title = f"seed={number}"
    folder = place / title
    return Script(number, (title,), title, None, resolved().begun_in(folder), folder, gpus, {}, False, code)


class Listener(Nobody):
    """Remembers what it hears; ``then`` is called whenever it hears counts."""

    def __init__(self, then: Callable[[Counts], None] = lambda counts: None) -> None:
        self.lines: list[str] = []
        self.counts: list[Counts] = []
        self._then = then

    def say(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def heading(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def result(self, folder: Path) -> None:
        """Keep it."""
        self.lines.append(f"result of {folder}")

    def busy(self, what: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    @contextmanager
    def counting(self) -> Iterator[Callable[[Counts], None]]:
        """Keep them."""

        def count(counts: Counts) -> None:
            self.counts.append(counts)
            self._then(counts)

        yield count
