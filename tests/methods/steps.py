"""One step of the loop's own learner, for tests that look at what it did."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

import fomo
from fomo.budget.flops import unmetered
from fomo.training.methods import Methods
from fomo.training.step import Learner


def step(network: nn.Module, methods: Methods, optimizer: torch.optim.Optimizer, batch: fomo.Batch) -> Tensor:
    """One optimizer step; the loss."""
    learner = Learner(network, methods, lambda named: optimizer, 1.0, None, nullcontext)
    return learner.step(optimizer, batch, unmetered)[0].detach()
