"""Synaptic intelligence (Zenke et al. 2017, arXiv 1703.04200, eqs. 3 to 5).

In each step ω ← ω − g·Δθ; after task t Ω ← Ω + ω / (Δ_t² + ξ), θ* ← θ, ω ← 0; loss: L + c · Σ Ω (θ − θ*)².
Δ_t is what the task moved a parameter by.

Differs from the paper: g is the gradient that the optimizer gets, clipped and with the penalty's part in it; Δθ is the
displacement of the step as it was made, weight decay included. (The reference code of Roth et al. 2024 takes lr·g²,
which is this for plain SGD alone.) As in the formula, and unlike some code, a negative ω is not cut off.
"""

import torch
from torch import nn

import fomo
from fomo.model.weights import Weights
from methods.regularizers.quadratic import Quadratic, above_zero, at_least, copies, trained


@torch.no_grad()
def add_path(path: Weights, gradient: Weights, before: Weights, after: Weights) -> None:
    """ω ← ω − g·Δθ, in place, for the names that have a gradient."""
    for name, g in gradient.items():
        path[name].sub_(g * (after[name] - before[name]))


def importance_of(path: Weights, start: Weights, end: Weights, damping: float) -> Weights:
    """ω / (Δ² + ξ)."""
    return {name: omega / ((end[name] - start[name]).square() + damping) for name, omega in path.items()}


class SI(Quadratic):
    """Hold what brought the loss down on the way. ``strength`` is c, ``damping`` ξ."""

    def __init__(self, strength: float = 10.0, damping: float = 1e-3) -> None:
        at_least("strength", strength, 0)
        above_zero("damping", damping)
        super().__init__(strength, "importance", "path", "start")
        self.damping = damping
        self._before: Weights = {}
        self._gradient: Weights = {}

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """ω = 0 where the task starts."""
        super().begin_task(network, task)
        self.kept["start"] = copies(network)
        self.kept["path"] = {name: torch.zeros_like(value) for name, value in self.kept["start"].items()}

    def after_backward(self, network: nn.Module) -> None:
        """Note the gradient, which an optimizer may change, and where the step starts; both until it is made."""
        moving = {name: p for name, p in trained(network).items() if p.grad is not None}
        self._before = {name: p.detach().clone() for name, p in moving.items()}
        self._gradient = {name: p.grad.clone() for name, p in moving.items() if p.grad is not None}

    def after_step(self, network: nn.Module) -> None:
        """One step of the path integral."""
        after = {name: p.detach() for name, p in trained(network).items()}
        add_path(self.kept["path"], self._gradient, self._before, after)
        self._before, self._gradient = {}, {}

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Ω ← Ω + ω / (Δ² + ξ), θ* ← θ."""
        self.anchor(network)
        added = importance_of(self.kept["path"], self.kept["start"], self.kept["anchor"], self.damping)
        for name, before in self.kept["importance"].items():
            added[name].add_(before)
        self.kept["importance"] = added
        self.kept["path"], self.kept["start"] = {}, {}
