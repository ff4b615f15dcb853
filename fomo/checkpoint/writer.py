"""When checkpoints are written, and by whom: a thread beside the run, from a snapshot, one at a time."""

import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NothingYet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from fomo.checkpoint.files import Packed, numbered, snapshot, write
from fomo.errors import FomoError, check_allowed
from fomo.system.writing import remove_scratch

KEPT = 2
PATIENCE_SECONDS = 600.0
"""For one checkpoint to be written."""


@dataclass(frozen=True)
class CheckpointConfig:
    """Within a task, a checkpoint every ``every_steps`` steps and every ``every_minutes``; ``None`` switches one off.

    One more is written when a task's last step is made, and one after every evaluation.
    """

    every_steps: int | None = None
    every_minutes: float | None = 5.0

    def __post_init__(self) -> None:
        for name, least in (("every_steps", 1), ("every_minutes", 0)):
            value = getattr(self, name)
            allowed = f"numbers from {least}, or null for none"
            check_allowed(value is None or value >= least, f"checkpoint.{name}={value}", allowed)


class CheckpointWriter:
    """Writes the checkpoints of a run and keeps the last two; ``good`` is the one that the run goes on from."""

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], config: CheckpointConfig, good: Path | None = None
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._config = config
        self._number = max(numbered(folder), default=0)
        self._good = [good] if good else []
        self._writing: Future[None] | None = None
        self._steps = 0
        self._since = time.monotonic()
        remove_scratch(folder)

    @property
    def newest(self) -> Path | None:
        """The last one that is on the disk."""
        return self._good[-1] if self._good else None

    def is_due(self) -> bool:
        """Called after each step: whether to save now. What is saved when depends on the clock, no result does."""
        self._steps += 1
        every = self._config.every_steps
        minutes = self._config.every_minutes
        by_clock = minutes is not None and time.monotonic() - self._since >= 60 * minutes
        return by_clock or (every is not None and self._steps >= every)

    def save(self, tree: Mapping[str, Any]) -> None:
        """Copy the state and have it written; returns as soon as it is copied."""
        self.wait()
        self._number += 1
        self._steps = 0
        self._since = time.monotonic()
        path = self._folder / f"{self._number:06d}"
        self._writing = Future()
        # A daemon: Python would wait at its end for a thread that is stuck in a write.
        threading.Thread(
            target=self._report, args=(self._writing, path, snapshot(tree)), name="checkpoint", daemon=True
        ).start()

    def _report(self, writing: "Future[None]", path: Path, packed: Packed) -> None:
        try:
            self._write(path, packed)
            writing.set_result(None)
        except BaseException as error:  # raised again by who waits
            writing.set_exception(error)

    def _write(self, path: Path, packed: Packed) -> None:
        write(path, packed, self._identity)
        self._good = [*self._good, path][-KEPT:]
        for old in set(numbered(self._folder).values()) - set(self._good):
            shutil.rmtree(old, ignore_errors=True)  # what a file system holds fast is tried again after the next one

    def wait(self) -> None:
        """Until what is being written is written.

        Raises:
            FomoError: it could not be, or not in ten minutes; the last whole checkpoint is named.
        """
        writing, self._writing = self._writing, None
        try:
            if writing:
                writing.result(PATIENCE_SECONDS)
        except (OSError, SafetensorError, NothingYet) as failure:  # safetensors has its own name for a full disk
            stuck = isinstance(failure, NothingYet) and writing is not None and not writing.done()
            error = f"{PATIENCE_SECONDS:g} s were not enough: is the file system stuck?" if stuck else failure
            whole = f"{self.newest} is whole: the same command goes on from it" if self.newest else "There is none yet"
            raise FomoError(f"{self._folder}: a checkpoint could not be written ({error}). {whole}.") from failure

    def discard(self) -> None:
        """Remove all checkpoints: the run is finished. What a file system holds fast is removed by the next command."""
        self.wait()
        for path in numbered(self._folder).values():
            shutil.rmtree(path, ignore_errors=True)
