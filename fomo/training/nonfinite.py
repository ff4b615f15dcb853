"""``on_nan``: what becomes of a step whose loss or gradient norm is NaN or infinite.

- ``stop``: the run ends there, with the batch of the step.
- ``skip``: the step changes nothing.
- ``rewind``: what is trained goes back to where it was ``rewind_every`` steps ago at most, and on with the next batch,
  as PaLM was trained past its spikes (Chowdhery et al. 2022, arXiv 2204.02311, section 5.1).

Position, learning rate and ledger go on in all of them: what was spent stays spent, no batch comes twice, and a task
takes the steps that it was planned to. Where to go back to depends on the position alone, never on the clock.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fomo.budget.flops import charged
from fomo.budget.ledger import Ledger
from fomo.budget.plan import Plan
from fomo.checkpoint.files import Packed, snapshot
from fomo.checkpoint.state import load_model, load_optimizer, training_state
from fomo.checkpoint.tree import unpack
from fomo.errors import FomoError, NotFinite
from fomo.training.methods import Methods

POLICIES = ("stop", "skip", "rewind")
LIMIT = 10
"""So many skipped steps in a row, or rewinds to one place, stop the run: the fault is not in the batch."""

Note = dict[str, int]


class Judge:
    """Asked by a step, before anything is changed, whether it is to be applied. ``note`` says what was lost if not.

    Without ``lose`` it never looks: the values stay on the device.
    """

    def __init__(self, lose: Callable[[], Note] | None = None) -> None:
        self._lose = lose
        self.note: Note = {}

    def __call__(self, loss: Tensor, norm: Tensor) -> bool:
        """Whether both are finite."""
        if self._lose is None or bool(loss.detach().isfinite() & norm.isfinite()):
            return True
        self.note = self._lose()
        return False


class Guard:
    """``stop``: every step is applied, and the record ends the run when it writes a value that is not finite."""

    @contextmanager
    def step(self, task: int, step: int, optimizer: torch.optim.Optimizer) -> Iterator[Judge]:
        """Around a step of ``task`` and its record."""
        yield Judge()

    def state(self) -> dict[str, Any]:
        """What a run that goes on has to know."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""


class Skip(Guard):
    """The step is charged and changes nothing."""

    name = "skip"

    def __init__(self, network: nn.Module, methods: Methods, ledger: Ledger) -> None:
        self._network, self._methods, self._ledger = network, methods, ledger
        self._in_row = 0

    @contextmanager
    def step(self, task: int, step: int, optimizer: torch.optim.Optimizer) -> Iterator[Judge]:
        """Judge it; undo what has to be.

        Raises:
            NotFinite: :data:`LIMIT` in a row.
        """
        self._before(task, step, optimizer)
        judge = Judge(lambda: self._lose(task, step))
        yield judge
        if not judge.note:
            self._applied()
            return
        self._in_row += 1
        if self._in_row >= LIMIT:
            raise NotFinite(task, step, f"{LIMIT} steps without a finite loss and gradient (on_nan={self.name})")
        self._undo(optimizer)

    def _before(self, task: int, step: int, optimizer: torch.optim.Optimizer) -> None:
        """Called before every step."""

    def _lose(self, task: int, step: int) -> Note:
        """Tell the ledger how many steps are without effect, and say it."""
        self._ledger.lose(1)
        return {"lost": 1}

    def _undo(self, optimizer: torch.optim.Optimizer) -> None:
        """Called after a step that was not applied."""

    def _applied(self) -> None:
        self._in_row = 0

    def state(self) -> dict[str, Any]:
        """How many in a row."""
        return {"in_row": self._in_row}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on counting."""
        self._in_row = state["in_row"]


class Kept(NamedTuple):
    """A state to go back to, on the host: from before ``step``, when ``applied`` steps were in it."""

    task: int
    step: int
    applied: int
    packed: Packed


class Rewind(Skip):
    """Back to the state before step 0, k, 2k, … of the task, k = ``every``."""

    name = "rewind"

    def __init__(self, network: nn.Module, methods: Methods, ledger: Ledger, every: int) -> None:
        super().__init__(network, methods, ledger)
        self._every, self._kept = every, None

    _kept: Kept | None

    def _before(self, task: int, step: int, optimizer: torch.optim.Optimizer) -> None:
        """Keep the state, if it is its turn."""
        if step % self._every and self._kept and self._kept.task == task:
            return
        applied, before = self._ledger.applied(task, step), self._kept
        if before is None or before.task != task or applied > before.applied:
            self._in_row = 0
        state = training_state(self._network, self._methods, optimizer)
        self._kept = Kept(task, step, applied, snapshot(state))

    def _lose(self, task: int, step: int) -> Note:
        assert self._kept
        lost = self._ledger.applied(task, step) - self._kept.applied + 1
        self._ledger.lose(lost)
        return {"lost": lost, "rewound_to": self._kept.step}

    def _undo(self, optimizer: torch.optim.Optimizer) -> None:
        """Go back."""
        assert self._kept
        device = next(self._network.parameters()).device
        state = unpack(self._kept.packed.state, self._kept.packed.tensors, device)
        load_model(self._network, self._methods, state)
        load_optimizer(optimizer, state["optimizer"])

    def _applied(self) -> None:
        """One good step after a rewind proves nothing: what counts is the next state that is kept."""

    def state(self) -> dict[str, Any]:
        """The kept state too: a run that goes on may have to go back to it."""
        kept = self._kept._asdict() | {"packed": self._kept.packed.__dict__} if self._kept else None
        return super().state() | {"kept": kept}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on with what was kept."""
        super().load_state(state)
        kept = state["kept"]
        self._kept = Kept(**kept | {"packed": Packed(**kept["packed"])}) if kept else None


def guard_of(on_nan: str, every: int, network: nn.Module, methods: Methods, ledger: Ledger) -> Guard:
    """The guard that is configured."""
    if on_nan == "stop":
        return Guard()
    if on_nan == "skip":
        return Skip(network, methods, ledger)
    return Rewind(network, methods, ledger, every)


def check_rewindable(plan: Plan) -> None:
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


def marks(lost: list[dict[str, int]]) -> list[str]:
    """What a result says of the steps that were not finite."""
    rewinds = [note for note in lost if "rewound_to" in note]
    skipped = len(lost) - len(rewinds)
    found = [f"{skipped} {_plural('step', skipped)} skipped"] if skipped else []
    if rewinds:
        steps = sum(note["lost"] for note in rewinds)
        found.append(f"{len(rewinds)} {_plural('rewind', len(rewinds))}, {steps} {_plural('step', steps)} lost")
    return found


def _plural(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
