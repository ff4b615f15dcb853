"""A run's state into checkpoints and back: network, method, optimizer, every part with state, and how far the run is.

Batches, learning rates and every random draw are functions of the position and need no state of their own; of the
batches, what could not be used is kept, for it is counted once.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from fomo.batch import Batch
from fomo.checkpoint.files import Checkpoint, Damaged, as_written, numbered, read_identity
from fomo.checkpoint.state import Stateful, check_state, tensors_of, training_state
from fomo.checkpoint.writer import CheckpointConfig, CheckpointWriter
from fomo.errors import FomoError, Stopped, WorkerHung
from fomo.loop import Checkpointer, RunProgress
from fomo.method import Task
from fomo.results.config_file import differences
from fomo.results.layout import CHECKPOINTS
from fomo.running.live import Live
from fomo.running.prepared import Prepared
from fomo.system.checks import is_count
from fomo.system.parted import whole
from fomo.system.ranks import exchanged, is_first, largest_of, together
from fomo.system.signals import Stop, stopped_by
from fomo.system.stages import Stages
from fomo.training.finite import check_alike
from fomo.training.resuming import go_on
from fomo.training.step import Learner


class Onlooker(CheckpointWriter):
    """The writer of a rank that writes nothing: the first one does."""

    def __init__(
        self, folder: Path, identity: Mapping[str, Any], config: CheckpointConfig, good: Path | None = None
    ) -> None:
        self._good = [good] if good else []
        self._under_way = deque()

    def is_due(self) -> bool:
        """Never: the first rank says when."""
        return False

    def save(self, tree: Mapping[str, Any]) -> None:
        """Give the parts that this rank has of tensors, in the order in which the first one asks for them."""
        for _, tensor in tensors_of(tree):
            whole(tensor.detach())

    def discard(self) -> None:
        """Nothing."""


class DiskCheckpointer(Checkpointer):
    """Saves a run on the way, and starts it where a checkpoint left it.

    Args:
        writer: Writes the checkpoints, and knows when one is due.
        stop: Whether the run is asked to stop.
        learner: Its network and method are kept.
        parts: Everything else that has state, by the name that it is kept under.
        found: What the run goes on from; the parts are loaded at once. ``None``: the run starts anew.
        stages: Times what saving holds up.

    Raises:
        FomoError: the state of ``found`` is not one that this run writes.
    """

    def __init__(
        self,
        writer: CheckpointWriter,
        stop: Stop,
        learner: Learner,
        parts: Mapping[str, Stateful],
        found: Checkpoint | None,
        stages: Stages | None = None,
    ) -> None:
        self.writer = writer
        self._stages = stages or Stages()
        self._stop = stop
        self._learner = learner
        self._parts = dict(parts)
        self._state: dict[str, Any] | None = None
        self._saved: RunProgress | None = None
        self._unsaved: tuple[RunProgress, torch.optim.Optimizer] | None = None
        if found:
            self._start_from(found)

    def _start_from(self, found: Checkpoint) -> None:
        device = next(self._learner.network.parameters()).device
        self._found = found.path
        self._state = state = found.tree(device, self._learner.spread.waiting)
        with as_written(self._found, "place"):
            self.start = self._saved = RunProgress(**state["place"])
        for name, part in self._parts.items():
            with as_written(self._found, name):
                part.load_state_dict(state[name])
        if self.start.steps is None:
            self._load()

    def resume(self, task: Task) -> torch.optim.Optimizer | None:
        """As the contract of methods has it: begin the task on the base model, then load."""
        return self._load(task)

    def _load(self, task: Task | None = None) -> torch.optim.Optimizer | None:
        assert self._state is not None
        state = self._state
        self._state = None
        try:
            with as_written(self._found, "training state"):
                optimizer = go_on(self._learner, state, task)
                self._learner.logged()  # it was written when the task was begun
                return optimizer
        except FomoError as error:
            raise FomoError(
                f"{self._found} stays as it is, but cannot be gone on from: {error} `fomo check` stops and resumes a "
                "method beforehand. A run of a mended one is another run: take resume=again."
            ) from error

    def save(self, progress: RunProgress, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Have the state written.

        Raises:
            NotFinite: the state is none to go on from.
        """
        with self._stages.during("checkpoint"):
            state = training_state(self._learner.stepped, self._learner.methods, optimizer)
            check_state(state, progress.task, progress.steps and progress.steps - 1)
            check_alike(dict(tensors_of(state)), str(progress))
            self.writer.save(
                {
                    "place": progress._asdict(),
                    **state,
                    **{name: part.state_dict() for name, part in self._parts.items()},
                }
            )
        self._saved = progress
        self._unsaved = None

    def after_step(self, progress: RunProgress, optimizer: torch.optim.Optimizer) -> None:
        """Save if it is time to, or if the run is to stop here."""
        self._unsaved = progress, optimizer
        is_due, asked = map(int, largest_of([self.writer.is_due(), self._stop.asked]))
        if asked:
            self._save_last()
            raise stopped_by(asked)
        if is_due:
            self.save(progress, optimizer)

    def interruptible(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches. A signal ends the wait for one at once; then, as after an error, the last step is saved."""
        while True:
            try:
                with together("it makes its rows of a batch", lambda: self._stop.asked), self._stop.interruptible():
                    batch = next(batches, None)
            except WorkerHung:
                raise  # where no file can be read any more, writing one may hang too
            except (FomoError, Stopped):
                self._save_last()
                raise
            if batch is None:
                return
            yield batch

    def _save_last(self) -> None:
        """Save the last step, if it is not. A rank that left before it is written would have the first one ended."""
        if self._unsaved:
            self.save(*self._unsaved)
        self.writer.wait()
        exchanged(None)

    def whole_steps(self) -> AbstractContextManager[None]:
        """A signal waits for the end of the step."""
        return self._stop.postponed()

    def explain(self, stopped: Stopped) -> Stopped:
        """The stop, with what is saved; called once all is written."""
        newest = self.writer.newest
        if newest is None or self._saved is None:
            return stopped
        return Stopped(stopped.by, stopped.status, f"saved in {newest} is {self._saved}")


def start_or_resume(
    prepared: Prepared, folder: Path, stop: Stop, learner: Learner, live: Live, found: Checkpoint | None
) -> DiskCheckpointer:
    """The checkpointer of a run, which is then where ``found`` left it.

    Args:
        prepared: The run.
        folder: Its folder.
        stop: Whether it is asked to stop.
        learner: Takes its steps.
        live: Its parts with state.
        found: What it goes on from; ``None``: it starts anew.
    """
    config = prepared.resolved.config.checkpoint
    make = CheckpointWriter if is_first() else Onlooker
    writer = make(folder / CHECKPOINTS, prepared.identity, config, found.path if found else None)
    checkpointer = DiskCheckpointer(writer, stop, learner, live.parts, found, live.usage.stages)
    if checkpointer.start:
        live.record.event("resume", **checkpointer.start._asdict())
    return checkpointer


def refuse_other(checkpoint: Checkpoint, identity: Mapping[str, Any]) -> None:
    """Refuse to go on with the state of something else.

    Raises:
        FomoError: what differs is named.
    """
    changed = differences(checkpoint.identity, identity)
    if changed:
        lines = (line if len(line) <= 200 else f"{line[:200]}…" for line in changed[:5])
        shown = "; ".join(lines) + ("; …" if len(changed) > 5 else "")
        raise FomoError(
            f"{checkpoint.path} is the checkpoint of another run ({shown}). Go on with what it was made with, "
            "choose another run.dir, or resume=again, which starts anew beside it."
        )


def kept_steps(folder: Path) -> tuple[int, ...] | None:
    """The plan of the run in ``folder``, from its newest readable checkpoint."""
    for path in reversed(numbered(folder / CHECKPOINTS).values()):
        try:
            steps = read_identity(path)["plan"]["steps"]
        except (Damaged, LookupError, TypeError):
            continue
        if isinstance(steps, list) and all(map(is_count, steps)):
            return tuple(steps)
    return None
