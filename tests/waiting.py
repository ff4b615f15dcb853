"""Waiting for what has to happen, however busy the machine is."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 300.0
"""The way out where something hangs; no test is to be decided by it."""


def until(holds: Callable[[], object], still: Callable[[], object] = lambda: True) -> None:
    """Until ``holds`` is true; ``still`` has to be true meanwhile."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert still(), "it has ended before"
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.01)
