"""Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796), online (Schwarz et al. 2018, 1805.06370).

After task t: F_t = mean over batches of D_t of (∂L/∂θ)², F ← γF + F_t, θ* ← θ; loss: L + λ/2 · Σ F (θ − θ*)².

Differs from the papers as Roth et al. 2024 (arXiv 2408.14471) has it: the gradient is that of a batch's contrastive
loss, which has no per-sample likelihood (so F depends on the batch size), with the captions at hand instead of labels
drawn from the model. Their budget charges the Fisher pass at every step; it is made, and charged, once per task.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.utils import parametrize

import fomo
from methods.regularizers.quadratic import Quadratic, at_least, beside, on_host, trained


def fisher(
    network: nn.Module,
    batches: Iterable[fomo.Batch],
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> fomo.Weights:
    """F by parameter: the mean over ``batches`` of the squared gradient of each batch's contrastive loss.

    Only what is trained has one. ``autocast`` opens the precision that the loss is computed in.

    Raises:
        FomoError: there is no batch.
    """
    parameters = trained(network)
    sums = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    num_batches = 0
    for batch in batches:
        with parametrize.cached():
            with autocast():
                _fold(network)
                loss = fomo.contrastive(network, batch)
            gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        for total, gradient in zip(sums.values(), fomo.averaged(gradients), strict=True):
            total.addcmul_(gradient, gradient)
        num_batches += 1
    if not num_batches:
        raise fomo.FomoError("regularizer: the task has no new sample to estimate importance on.")
    return {name: total.div_(num_batches) for name, total in sums.items()}


def _fold(network: nn.Module) -> None:
    """Compute every adapted weight, so that a layer that is computed again finds what it found before."""
    for module in network.modules():
        for name in module.parametrizations if parametrize.is_parametrized(module) else ():  # type: ignore[union-attr]
            getattr(module, name)


class EWC(Quadratic):
    """Hold parameters in proportion to their Fisher information F in the tasks so far.

    Args:
        strength: λ.
        decay: γ, 0 to 1: what is left of F at the end of the next task.
        num_samples: how many of a task's new samples its F_t is taken on, at most.
        batch_size: how many of them are in a batch.
    """

    def __init__(
        self, strength: float = 1.0, decay: float = 1.0, num_samples: int = 50_000, batch_size: int = 512
    ) -> None:
        at_least("strength", strength, 0)
        at_least("num_samples", num_samples, 2)
        at_least("batch_size", batch_size, 2)
        if not 0 <= decay <= 1:
            raise fomo.FomoError(f"regularizer.decay={decay}: allowed are 0 to 1.")
        super().__init__(strength / 2, "importance")
        self.decay = decay
        self.num_samples = num_samples
        self.batch_size = batch_size

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Take F_t on the task's new data: F ← γF + F_t, θ* ← θ."""
        importance = fisher(network, task.update_batches(self.batch_size, self.num_samples), task.autocast)
        for name, before in self.kept["importance"].items():
            importance[name].add_(beside(before, importance[name]), alpha=self.decay)
        self.kept["importance"] = on_host(importance)
        self.anchor(network)
