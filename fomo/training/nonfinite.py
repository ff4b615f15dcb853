"""``on_nan``: what becomes of a step in which a loss, a gradient or a weight is NaN or infinite.

- ``stop``: the run ends there, with the batch of the step.
- ``skip``: the step changes nothing.
- ``rewind``: what is trained goes back to where it was ``rewind_every`` steps ago at most, and on with the next batch,
  as PaLM was trained past its spikes (Chowdhery et al. 2022, arXiv 2204.02311, section 5.1).

A step ends where it is not finite, so that neither weights nor optimizer change; where the update itself has spoilt the
weights, a rewind alone can make it good, and ``skip`` stops as ``stop`` does. Position, learning rate and ledger go on:
what was spent stays spent, no batch comes twice, and a task takes the steps that it was planned to. Where to go back to
depends on the position alone, never on the clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from fomo.budget.flops import charged
from fomo.budget.plan import StepPlan
from fomo.checkpoint.files import Packed, snapshot
from fomo.checkpoint.state import check_state, load_model, load_optimizer, training_state
from fomo.errors import FomoError, NotFinite
from fomo.training.step import Learner, StepResult

LIMIT = 10
"""So many skipped steps in a row, or rewinds to one place, stop the run: the fault is not in the batch."""


@dataclass(frozen=True)
class StepAt:
    """Where a step is: its task from 1, its number from 0, and how many steps before it have an effect."""

    task: int
    step: int
    applied: int


@dataclass(frozen=True)
class Lost:
    """Steps that are without effect because one was not finite; ``rewound_to``: the step that the state is of."""

    steps: int = 0
    rewound_to: int | None = None

    def to_json(self) -> dict[str, int]:
        """As events and scores have it; empty where nothing is lost."""
        lost = {"lost": self.steps} if self.steps else {}
        return lost if self.rewound_to is None else lost | {"rewound_to": self.rewound_to}


class StopRun:
    """``stop``: the first step that is not finite ends the run."""

    def before_step(self, at: StepAt, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
        """Keep what a later step may have to go back to."""

    def lost(self, at: StepAt, result: StepResult) -> Lost:
        """What the step at ``at`` leaves without effect, itself included; nothing where it was finite."""
        return Lost(1) if result.fault else Lost()

    def recover(self, at: StepAt, result: StepResult, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
        """Make good what a step was that had no effect.

        Raises:
            NotFinite: the run cannot go on.
        """
        raise NotFinite(at.task, at.step, result.fault)

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on has to know."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""


class SkipStep(StopRun):
    """``skip``: the step is charged and changes nothing; :data:`LIMIT` in a row end the run."""

    name = "skip"

    def __init__(self) -> None:
        self.in_row = 0

    def lost(self, at: StepAt, result: StepResult) -> Lost:
        """The step itself, where it was not finite."""
        self.in_row = self.in_row + 1 if result.fault else 0
        return super().lost(at, result)

    def recover(self, at: StepAt, result: StepResult, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
        """Nothing is to be made good.

        Raises:
            NotFinite: :data:`LIMIT` in a row, or the step has moved the weights.
        """
        self._check_limit(at, result)
        if result.has_spoilt:
            super().recover(at, result, learner, optimizer)

    def _check_limit(self, at: StepAt, result: StepResult) -> None:
        if self.in_row >= LIMIT:
            what = (
                f"{LIMIT} steps were not finite, one after the other (on_nan={self.name}); of the last, {result.fault}"
            )
            raise NotFinite(at.task, at.step, what)

    def state_dict(self) -> dict[str, Any]:
        """How many in a row."""
        return {"in_row": self.in_row}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self.in_row = state["in_row"]


class KeptState(NamedTuple):
    """A state to go back to, on the host: from before ``step`` of ``task``, when ``applied`` steps were in it."""

    task: int
    step: int
    applied: int
    packed: Packed


class Rewind(SkipStep):
    """``rewind``: back to the state before step 0, k, 2k, … of the task, k = ``every``."""

    name = "rewind"

    def __init__(self, every: int) -> None:
        super().__init__()
        self._every = every
        self._kept: KeptState | None = None

    def before_step(self, at: StepAt, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
        """Keep the state, if it is its turn. Going back to one place counts on until the kept state has moved on.

        Raises:
            NotFinite: the state is none to go back to.
        """
        before = self._kept
        if at.step % self._every and before and before.task == at.task:
            return
        if before is None or before.task != at.task or at.applied > before.applied:
            self.in_row = 0
        state = training_state(learner.stepped, learner.methods, optimizer)
        check_state(state, at.task, at.step)
        self._kept = KeptState(at.task, at.step, at.applied, snapshot(state))

    def lost(self, at: StepAt, result: StepResult) -> Lost:
        """The step and all that are not in the kept state. One good step after a rewind proves nothing."""
        if not result.fault:
            return Lost()
        assert self._kept
        self.in_row += 1
        return Lost(at.applied - self._kept.applied + 1, self._kept.step)

    def recover(self, at: StepAt, result: StepResult, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
        """Go back.

        Raises:
            NotFinite: :data:`LIMIT` times to one place.
        """
        self._check_limit(at, result)
        assert self._kept
        network = learner.stepped
        state = self._kept.packed.tree(next(network.parameters()).device, learner.spread.waiting)
        load_model(network, learner.methods, state)
        load_optimizer(optimizer, state["optimizer"])

    def state_dict(self) -> dict[str, Any]:
        """The kept state too: a run that goes on may have to go back to it."""
        kept = self._kept._asdict() | {"packed": vars(self._kept.packed)} if self._kept else None
        return super().state_dict() | {"kept": kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what was kept."""
        super().load_state_dict(state)
        kept = state["kept"]
        self._kept = KeptState(**kept | {"packed": Packed(**kept["packed"])}) if kept else None


POLICIES: dict[str, Callable[[int], StopRun]] = {
    "stop": lambda every: StopRun(),
    "skip": lambda every: SkipStep(),
    "rewind": Rewind,
}
"""Makes the policy of a value of ``on_nan``, given after how many steps a state to rewind to is kept anew."""


def check_rewindable(plan: StepPlan) -> None:
    """Refuse a plan in which a step that is made again may cost more than the step whose place it takes.

    Raises:
        FomoError: a task's first steps cost more than later ones.
    """
    for task in plan.cost.tasks if plan.cost else ():
        if task.first and task.ordinary and charged(task.first) > charged(task.ordinary):
            raise FomoError(
                "on_nan=rewind: the first steps of this method or optimizer, or those that refresh something, cost "
                "more than others, and making them again would overspend the budget. Take on_nan=skip."
            )
