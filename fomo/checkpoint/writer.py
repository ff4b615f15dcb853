"""When checkpoints are written, and by whom: threads beside the run, from copies, one after the other.

The run waits for its state to be copied, and only where two copies are on their way to the disk already, or the memory
has no room for a second one, for the disk too.
"""

import shutil
import threading
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NothingYet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from fomo.checkpoint.files import Packed, numbered, write
from fomo.checkpoint.host import HostCopies, host_copies, host_memory, num_bytes
from fomo.checkpoint.tree import pack
from fomo.errors import FomoError, check_allowed
from fomo.system.control_groups import available_memory
from fomo.system.writing import remove_scratch

KEPT = 2
UNDER_WAY = 2
"""Copies that are on their way to the disk at a time: those of the end of a task's steps and of its evaluation."""
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
        self._under_way: deque[Future[None]] = deque()
        """What is being written, and what waits for it."""
        self._spare: Tensor | None = None
        """Memory of the host for the next copy."""
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
        """Copy the state and have it written; returns as soon as it is copied.

        Raises:
            FomoError: an earlier one could not be written.
        """
        tensors: dict[str, Tensor] = {}
        state = pack(tree, tensors)
        self._wait_until(UNDER_WAY - 1 if self._has_room(num_bytes(tensors)) else 0)
        copies = host_copies(tensors, self._memory(tensors))
        self._number += 1
        self._steps = 0
        self._since = time.monotonic()
        before = self._under_way[-1] if self._under_way else None
        self._under_way.append(Future())
        path = self._folder / f"{self._number:06d}"
        work = (before, self._under_way[-1], path, state, copies)
        # A daemon: Python would wait at its end for a thread that is stuck in a write.
        threading.Thread(target=self._report, args=work, name="checkpoint", daemon=True).start()

    def _has_room(self, needed: int) -> bool:
        """Whether a copy more leaves the run as much memory as it takes."""
        return not self._under_way or available_memory() > 2 * needed

    def _memory(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Memory for copies: what an earlier one has left, if it is enough."""
        spare = self._spare
        self._spare = None
        return spare if spare is not None and spare.numel() >= num_bytes(tensors) else host_memory(tensors)

    def _give_back(self, memory: Tensor) -> None:
        """Keep the larger one for the next copy: a state with an optimizer follows one without."""
        spare = self._spare
        if spare is None or spare.numel() < memory.numel():
            self._spare = memory

    def _report(
        self, before: "Future[None] | None", writing: "Future[None]", path: Path, state: Any, copies: HostCopies
    ) -> None:
        try:
            if before:
                before.result()  # where that one could not be written, this one is not either
            self._write(path, Packed(state, copies.arrived()))
            self._give_back(copies.memory)
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
        self._wait_until(0)

    def _wait_until(self, most: int) -> None:
        """At most so many are on their way, and of those that are not any more each was written."""
        while self._under_way and (len(self._under_way) > most or self._under_way[0].done()):
            self._wait_for(self._under_way.popleft())

    def _wait_for(self, writing: "Future[None]") -> None:
        try:
            writing.result(PATIENCE_SECONDS)
        except (OSError, SafetensorError, NothingYet) as failure:  # safetensors has its own name for a full disk
            self._under_way.clear()
            stuck = isinstance(failure, NothingYet) and not writing.done()
            error = f"{PATIENCE_SECONDS:g} s were not enough: is the file system stuck?" if stuck else failure
            whole = f"{self.newest} is whole: the same command goes on from it" if self.newest else "There is none yet"
            raise FomoError(f"{self._folder}: a checkpoint could not be written ({error}). {whole}.") from failure

    def discard(self) -> None:
        """Remove all checkpoints: the run is finished. What a file system holds fast is removed by the next command."""
        self.wait()
        for path in numbered(self._folder).values():
            shutil.rmtree(path, ignore_errors=True)
