"""An experiment's state into checkpoints and back: network, method, optimizer, ledger, scores, and how far the run is.

Batches, learning rates and every random draw are functions of the position and need no state of their own.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from fomo.budget.flops import unmetered
from fomo.budget.ledger import Ledger
from fomo.budget.utilisation import Usage
from fomo.checkpoint import Checkpoint, as_written
from fomo.config import differences
from fomo.errors import FomoError, Stopped
from fomo.loop import Keeper, Learner, Place
from fomo.method import Task
from fomo.record import Record
from fomo.saver import Saver
from fomo.stopping import Stop


class Checkpoints(Keeper):
    """Saves a run on the way, and starts it where ``found`` left it."""

    def __init__(
        self,
        saver: Saver,
        stop: Stop,
        learner: Learner,
        ledger: Ledger,
        record: Record,
        usage: Usage,
        found: Checkpoint | None,
    ) -> None:
        self._saver, self._stop, self._learner = saver, stop, learner
        self._ledger, self._record, self._usage = ledger, record, usage
        self._state: dict[str, Any] | None = None
        self._last: Place | None = None
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
            self._ledger.load_state(state["ledger"])
            self._usage.load_state(state["usage"])
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
        network = self._learner.network
        with as_written(self._found):
            self._learner.methods.load_state_dict(network, state["method"])
            load_network(network, state["network"])
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
                "network": learner.network.state_dict(),
                "method": learner.methods.state_dict(),
                "optimizer": optimizer.state_dict() if optimizer else None,
                "ledger": self._ledger.state(),
                "record": self._record.state(),
                "usage": self._usage.state(),
            }
        )
        self._last = place

    def after_step(self, place: Place, optimizer: torch.optim.Optimizer) -> None:
        """Save if it is time to, or if the run is to stop here."""
        if self._saver.is_due() or self._stop.asked:
            self.save(place, optimizer)
        self._stop.heed()

    def whole_steps(self) -> AbstractContextManager[None]:
        """A signal waits for the end of the step."""
        return self._stop.deferred()

    def told(self, stopped: Stopped) -> Stopped:
        """The same, with what is saved; called once the saver is closed."""
        if self._saver.newest is None or self._last is None:
            return stopped
        return Stopped(stopped.by, stopped.status, f"saved in {self._saver.newest} is {self._last}")


def load_network(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """The values, and the order of dimensions in memory: a folded adapter may leave a weight transposed."""
    network.load_state_dict(dict(state))
    for name, value in network.state_dict(keep_vars=True).items():
        if value.stride() != state[name].stride():
            value.data = state[name].to(value.device)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load, and undo what torch's own loading casts to the type of the parameter."""
    optimizer.load_state_dict(dict(state))
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, values in state["state"].items():
        optimizer.state[parameters[number]].update(values)


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
