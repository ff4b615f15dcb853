"""An experiment's state into checkpoints and back: network, method, optimizer, ledger, scores, and how far the run is.

Batches, learning rates and every random draw are functions of the position and need no state of their own; of the
batches, what could not be used is kept, for it is counted once.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from fomo.batch import Batch
from fomo.budget.flops import unmetered
from fomo.budget.ledger import Ledger
from fomo.checkpoint.files import Checkpoint, Damaged, as_written, numbered, read_identity
from fomo.checkpoint.saver import Saver
from fomo.checkpoint.state import load_model, load_optimizer, training_state
from fomo.config.schema import differences
from fomo.errors import FomoError, Stopped, WorkerHung
from fomo.loop import Keeper, Place
from fomo.method import Task
from fomo.running.folder import CHECKPOINTS
from fomo.system.checks import is_count
from fomo.system.signals import Stop
from fomo.system.usage import Usage
from fomo.training.loader import Batches
from fomo.training.nonfinite import Guard
from fomo.training.record import Record
from fomo.training.step import Learner


class Checkpoints(Keeper):
    """Saves a run on the way, and starts it where ``found`` left it."""

    def __init__(
        self,
        saver: Saver,
        stop: Stop,
        learner: Learner,
        batches: Batches,
        ledger: Ledger,
        record: Record,
        usage: Usage,
        guard: Guard,
        found: Checkpoint | None,
    ) -> None:
        self._saver, self._stop, self._learner, self._batches = saver, stop, learner, batches
        self._ledger, self._record, self._usage, self._guard = ledger, record, usage, guard
        self._state: dict[str, Any] | None = None
        self._last: Place | None = None
        self._unsaved: tuple[Place, torch.optim.Optimizer] | None = None
        if found:
            self._start_from(found)

    def _start_from(self, found: Checkpoint) -> None:
        device = next(self._learner.network.parameters()).device
        self._found = found.place
        with as_written(self._found):
            self._state = state = found.tree(device)
            self.start = self._last = Place(**state["place"])
            self._record.load_state(state["record"])
            self._record.event("resume", **state["place"])
            self._batches.load_state(state["batches"])
            self._ledger.load_state(state["ledger"])
            self._usage.load_state(state["usage"])
            self._guard.load_state(state["guard"])
        self._learner.methods.meter = unmetered
        if self.start.steps is None:
            self._load()

    def resume(self, task: Task) -> torch.optim.Optimizer | None:
        """As the contract of methods has it: begin the task on the base model, then load."""
        self._learner.methods.begin_task(self._learner.network, task)
        return self._load()

    def _load(self) -> torch.optim.Optimizer | None:
        assert self._state is not None
        state, self._state = self._state, None
        with as_written(self._found):
            load_model(self._learner.network, self._learner.methods, state)
            optimizer = self._learner.optimizer() if state["optimizer"] else None
            if optimizer:
                load_optimizer(optimizer, state["optimizer"])
        return optimizer

    def save(self, place: Place, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Have the state written."""
        learner = self._learner
        self._saver.save(
            {
                "place": {"task": place.task, "steps": place.steps},
                **training_state(learner.network, learner.methods, optimizer),
                "batches": self._batches.state(),
                "ledger": self._ledger.state(),
                "record": self._record.state(),
                "usage": self._usage.state(),
                "guard": self._guard.state(),
            }
        )
        self._last, self._unsaved = place, None

    def after_step(self, place: Place, optimizer: torch.optim.Optimizer) -> None:
        """Save if it is time to, or if the run is to stop here."""
        self._unsaved = place, optimizer
        if self._saver.is_due() or self._stop.asked:
            self.save(place, optimizer)
        self._stop.raise_if_asked()

    def awaited(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches. A signal ends the wait for one at once; then, as after an error, the last step is saved."""
        while True:
            try:
                with self._stop.interruptible():
                    batch = next(batches, None)
            except WorkerHung:
                raise  # where no file can be read any more, writing one may hang too
            except (FomoError, Stopped):
                if self._unsaved:
                    self.save(*self._unsaved)
                raise
            if batch is None:
                return
            yield batch

    def whole_steps(self) -> AbstractContextManager[None]:
        """A signal waits for the end of the step."""
        return self._stop.postponed()

    def told(self, stopped: Stopped) -> Stopped:
        """The same, with what is saved; called once the saver is closed."""
        if self._saver.newest is None or self._last is None:
            return stopped
        return Stopped(stopped.by, stopped.status, f"saved in {self._saver.newest} is {self._last}")


def refuse_other(checkpoint: Checkpoint, identity: Mapping[str, Any]) -> None:
    """Refuse to go on with the state of something else."""
    changed = differences(checkpoint.identity, identity)
    if changed:
        shown = "; ".join(_short(changed[:5])) + ("; …" if len(changed) > 5 else "")
        raise FomoError(
            f"{checkpoint.place} is the checkpoint of another run ({shown}). Go on with what it was made with, or "
            "choose another run.dir."
        )


def _short(lines: Iterable[str]) -> Iterable[str]:
    return (line if len(line) <= 200 else f"{line[:200]}…" for line in lines)


def kept_steps(folder: Path) -> tuple[int, ...] | None:
    """The plan of the run in ``folder``, from its newest readable checkpoint."""
    for place in reversed(numbered(folder / CHECKPOINTS).values()):
        try:
            steps = read_identity(place)["plan"]["steps"]
        except (Damaged, LookupError, TypeError):
            continue
        if isinstance(steps, list) and all(map(is_count, steps)):
            return tuple(steps)
    return None
