"""The documented loop by hand, so that a test may stop it, look in, and go on with fresh objects."""

from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

import fomo
from fomo.budget.flops import unmetered
from fomo.loader import Batches
from fomo.loop import Learner
from fomo.method import Methods
from fomo.model import train_mode
from fomo.run import prepare
from fomo.runtime import Runtime
from tests import tiny

NUM_STEPS = 3
MODEL = "model=pocket_vit"


def stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What comes back of a state that was written to a file."""
    return safetensors.torch.load(safetensors.torch.save({k: v.contiguous().clone() for k, v in state.items()}))


resolved = cache(tiny.resolved)


@cache
def data() -> Batches:
    """The tiny experiment's, the same for every method."""
    prepared = prepare(resolved(MODEL))
    return Batches(prepared.maker, prepared.model, Runtime("cpu"))


@cache
def of_task(number: int) -> list[fomo.Batch]:
    """The batches of a task."""
    return list(data().of_task(number, NUM_STEPS))


class Run:
    """A tiny experiment of two tasks that is led step by step; parts that need disk work in ``folder``."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        prepared = prepare(resolved(MODEL, *overrides))
        self.network: nn.Module = prepared.model.network
        self.methods = prepared.methods
        self.methods.work_in(folder)
        self.optimizer: torch.optim.Optimizer | None = None

    def task(self, number: int) -> fomo.Task:
        """As the loop gives it."""
        return fomo.Task(number, 2, NUM_STEPS, 0, data().num_update_samples(number), partial(data().once, number))

    def begin(self, number: int) -> None:
        """The start of a task: the method, then a fresh optimizer."""
        self.methods.begin_task(self.network, self.task(number))
        trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-3) if trained else None
        train_mode(self.network)

    def steps(self, number: int, start: int = 0, stop: int = NUM_STEPS) -> None:
        """Steps ``start`` to ``stop`` of a task."""
        if self.optimizer is None:
            return
        for batch in of_task(number)[start:stop]:
            step(self.network, self.methods, self.optimizer, batch)

    def end(self, number: int) -> None:
        """The end of a task."""
        self.methods.end_task(self.network, self.task(number))

    def whole(self, number: int) -> None:
        """A task."""
        self.begin(number)
        self.steps(number)
        self.end(number)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Network and method, as files would keep them."""
        return stored(self.network.state_dict()), stored(self.methods.state_dict())

    def load(self, state: tuple[dict[str, Tensor], dict[str, Tensor]]) -> None:
        """In the documented order."""
        self.methods.load_state_dict(self.network, state[1])
        self.network.load_state_dict(state[0])


def step(network: nn.Module, methods: Methods, optimizer: torch.optim.Optimizer, batch: fomo.Batch) -> Tensor:
    """One optimizer step; the loss."""
    learner = Learner(network, methods, lambda named: optimizer, 1.0, None, nullcontext)
    return learner.step(optimizer, batch, unmetered)[0].detach()
