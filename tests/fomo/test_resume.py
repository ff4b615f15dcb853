"""A run that is cut short anywhere and goes on is the run that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fomo.checkpoint import numbered
from fomo.errors import FomoError, Stopped
from fomo.folder import CHECKPOINTS
from fomo.run import execute
from fomo.stopping import Stop
from tests import tiny
from tests.faults.compare import differences

OFTEN = "checkpoint.every_steps=1"
COMMAND = (sys.executable, "-m", "fomo", "run", *tiny.TINY, OFTEN)


class Cut(Exception):
    """The end of a process, as far as the run can tell: nothing of it is executed any more."""


class Cutting(tiny.Silent):
    """Cuts the run at the ``number``-th thing that progress is told."""

    def __init__(self, number: int) -> None:
        self.left = number

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Cut

    def step(self, task: int, step: int, loss: float) -> None:
        self._count()

    def evaluating(self, task: int, dataset: str) -> None:
        self._count()


def cut_run(folder: Path, at: list[int], *overrides: str) -> int:
    """Cut the run at each of ``at``, counted anew after each, then let it end; how often it was cut."""
    cuts = 0
    for number in at:
        try:
            execute(tiny.prepared(*overrides), folder, Cutting(number))
        except Cut:
            cuts += 1
    tiny.run(folder, *overrides)
    return cuts


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.run(tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("at", [[1], [5], [7], [4, 3, 3, 2, 2], [2, 1]])
def test_a_run_that_was_cut_is_the_run_that_was_not(at: list[int], whole: Path, tmp_path: Path) -> None:
    assert cut_run(tmp_path / "run", at, OFTEN) == len(at)
    assert differences(whole, tmp_path / "run") == []
