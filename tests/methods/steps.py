"""One step of the loop's own learner, for tests that look at what it did."""

from contextlib import nullcontext

import torch
from torch import nn

import fomo
from fomo.training.methods import Methods
from fomo.training.step import Learner


def step(network: nn.Module, methods: Methods, optimizer: torch.optim.Optimizer, batch: fomo.Batch) -> float:
    """One optimizer step; its loss."""
    learner = Learner(network, methods, lambda named: optimizer, 1.0, None, nullcontext)
    return learner.step(optimizer, batch).loss
