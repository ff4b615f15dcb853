"""MT-AdamW, for batches of one pool each (Li et al. 2023, Uni-Perceiver v2, arXiv 2211.09808, section 3.4).

A step is of one pool k, which has the share s_k of the steps. With β the *kept* share of a moment, as torch has it (the
paper writes the new share), and ∇L_k the gradient of all parameters together:

    g = ω_k·∇L_k/‖∇L_k‖,  m ← β₁m + ((1 − β₁)/s_k)·g,  n ← β₂n + ((1 − β₂)/s_k)·g²,
    θ ← θ − η·(m̂/(√n̂ + ε) + λθ),

with Adam's corrections m̂ = m/(1 − β₁ᵗ), n̂ = n/(1 − β₂ᵗ), decay decoupled. The expected moments do not depend on the
shares, so that a pool that is seldom drawn counts as much as another; how long a gradient is does not matter, so that
clipping it changes nothing. Of K pools of equal shares the step is √K times that of Adam on normalised mixed batches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import fomo
from methods.adam import DecoupledAdam

POOLS = ("pretraining", "update", "buffer")


class MTAdamW(DecoupledAdam):
    """AdamW on normalised gradients, balanced over pools; :meth:`see` says before each step which pool it is of.

    Args:
        params: Groups of parameters.
        lr: Learning rate η.
        weights: ω of the pools that do not count 1, by :data:`POOLS`.
        settings: Those of :class:`DecoupledAdam`: ``weight_decay``, ``betas``, ``eps``.

    Raises:
        FomoError: an unknown pool, or a weight that is not above 0.
    """

    only_unmixed = True
    """That the run is refused where its batches are mixed."""

    def __init__(
        self, params: Iterable[Any], lr: float, weights: Mapping[str, float] | None = None, **settings: Any
    ) -> None:
        self._weights = _checked(weights or {})
        self._share = 1.0
        self._weight = 1.0
        self._factor = torch.ones(())
        super().__init__(params, lr, **settings)

    def see(self, counts: Sequence[int], shares: Sequence[float]) -> None:
        """Which pool the next step is of: the one that its batch has rows of, and its share of the task's steps.

        Raises:
            FomoError: the batch is of several pools.
        """
        pools = [pool for pool, count in enumerate(counts) if count]
        if len(pools) != 1:
            raise fomo.FomoError(f"optimizer=mt_adamw: a batch of {tuple(counts)} rows of P, D and B. {WAY_OUT}")
        self._share = shares[pools[0]]
        self._weight = self._weights[POOLS[pools[0]]]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure is used
        """One step of every parameter that has a gradient."""
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if gradients:
            norm = torch.nn.utils.get_total_norm(gradients)
            self._factor = self._weight / norm.clamp_min(torch.finfo(norm.dtype).tiny)
            super().step()

    def direction(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> Tensor:
        """m̂/(√n̂ + ε) after the moments have taken in the normalised gradient."""
        gradient = gradient * self._factor
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float64)
            state["exp_avg"] = torch.zeros_like(gradient)
            state["exp_avg_sq"] = torch.zeros_like(gradient)
        state["step"] += 1
        kept_1, kept_2 = group["betas"]
        state["exp_avg"].mul_(kept_1).add_(gradient, alpha=(1 - kept_1) / self._share)
        state["exp_avg_sq"].mul_(kept_2).addcmul_(gradient, gradient, value=(1 - kept_2) / self._share)
        first, second = (1 - kept ** state["step"] for kept in (kept_1, kept_2))
        return (state["exp_avg"] / first) / ((state["exp_avg_sq"] / second).sqrt_() + group["eps"])


WAY_OUT = "It takes batches of one pool each: mixture.batches=unmixed, or optimizer=adamw."


def _checked(weights: Mapping[str, float]) -> dict[str, float]:
    for pool, weight in weights.items():
        if pool not in POOLS:
            raise fomo.unknown("key of optimizer.weights", str(pool), POOLS)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
            raise fomo.FomoError(f"optimizer.weights.{pool}={weight}: allowed are finite numbers above 0.")
    return dict.fromkeys(POOLS, 1.0) | dict(weights)
