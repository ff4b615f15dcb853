"""Synaptic intelligence (Zenke et al. 2017, arXiv 1703.04200, eqs. 3 to 5).

In each step ω ← ω − g·Δθ; after task t Ω ← Ω + ω / (Δ_t² + ξ), θ* ← θ, ω ← 0; loss: L + c · Σ Ω (θ − θ*)².
Δ_t is what the task moved a parameter by.

Differs from the paper: g is the gradient that the optimizer gets, clipped and with the penalty's part in it (not with
what a later part's ``after_backward`` makes of it); Δθ is the displacement of the step as it was made, weight decay
included. (The reference code of Roth et al. 2024 takes lr·g², which is this for plain SGD alone.) As in the formula,
and unlike some code, a negative ω is not cut off.
"""

import torch
from torch import nn

import fomo
from methods.regularizers.quadratic import Quadratic, above_zero, at_least, beside, on_host, trained

CLIP_EPSILON = 1e-6
"""What torch adds to the norm that it clips by."""


@torch.no_grad()
def add_path(path: fomo.Weights, gradient: fomo.Weights, before: fomo.Weights, after: fomo.Weights) -> None:
    """ω ← ω − g·Δθ in place, for the parameters that have a gradient.

    Args:
        path: ω by name, changed.
        gradient: g by name, of the parameters that the step moved.
        before: θ before the step, by name.
        after: θ after the step, by name.
    """
    for name, g in gradient.items():
        path[name].sub_(g * (after[name] - before[name]))


def importance_of(path: fomo.Weights, start: fomo.Weights, end: fomo.Weights, damping: float) -> fomo.Weights:
    """What a task adds to the importance of each parameter: ω / (Δ² + ξ).

    Args:
        path: ω of the task, by name.
        start: θ where the task started, by name.
        end: θ where it ended, by name; Δ is ``end`` − ``start``.
        damping: ξ, above 0.
    """
    return {name: omega / ((end[name] - start[name]).square() + damping) for name, omega in path.items()}


class SI(Quadratic):
    """Hold parameters in proportion to what their moves did for the loss so far. ``strength`` is c, ``damping`` ξ."""

    def __init__(self, strength: float = 0.5, damping: float = 1.0) -> None:
        at_least("strength", strength, 0)
        above_zero("damping", damping)
        super().__init__(strength, "importance", "path", "start")
        self.damping = damping
        self._before: fomo.Weights = {}
        self._gradient: fomo.Weights = {}
        self._max_norm = float("inf")

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Set ω to 0 and keep the weights that the task starts from."""
        super().begin_task(network, task)
        self._max_norm = task.max_grad_norm
        parameters = trained(network)
        self.kept["start"] = on_host(parameters)
        self.kept["path"] = {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}

    def after_backward(self, network: nn.Module) -> None:
        """Copy the gradients, which an optimizer may change, and the weights that the step starts from."""
        moving = {name: p for name, p in trained(network).items() if p.grad is not None}
        self._before = {name: p.detach().clone() for name, p in moving.items()}
        gradient = {name: p.grad for name, p in moving.items() if p.grad is not None}
        norm = fomo.whole(nn.utils.get_total_norm(list(gradient.values())))
        factor = (self._max_norm / (norm + CLIP_EPSILON)).clamp(max=1.0)
        self._gradient = {name: g * factor for name, g in gradient.items()}

    def after_step(self, network: nn.Module) -> None:
        """Add the step to the path integral: ω ← ω − g·Δθ."""
        after = {name: p.detach() for name, p in self.part("path", network).items()}
        add_path(self.kept["path"], self._gradient, self._before, after)
        self._before = {}
        self._gradient = {}

    def end_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Add the task's importance, Ω ← Ω + ω / (Δ² + ξ), and set θ* ← θ."""
        self.anchor(network)
        self.make_whole("path", network)
        end = {name: p.detach() for name, p in trained(network).items()}
        start = {name: beside(value, end[name]) for name, value in self.kept["start"].items()}
        added = importance_of(self.kept["path"], start, end, self.damping)
        for name, before in self.kept["importance"].items():
            added[name].add_(beside(before, added[name]))
        self.kept["importance"] = on_host(added)
        self.kept["path"] = {}
        self.kept["start"] = {}
