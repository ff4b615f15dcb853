"""Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101): θ ← (1 − ηλ)·θ − η·d, by tensors.

The direction is d = m̂/(√n̂ + ε), with m̂ = m/(1 − β₁ᵗ), n̂ = n/(1 − β₂ᵗ).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor


def adam_direction(gradient: Tensor, state: dict[str, Any], betas: tuple[float, float], eps: float) -> Tensor:
    """Adam's direction M̂/(√V̂ + ε), in the gradient's shape.

    Args:
        gradient: G, or R in a subspace.
        state: the moments ``exp_avg`` and ``exp_avg_sq`` and the count ``step``; updated, and made at the first call.
        betas: decay of the first and of the second moment.
        eps: ε.
    """
    if "exp_avg" not in state:
        state["step"] = torch.zeros((), dtype=torch.float64)
        state["exp_avg"] = torch.zeros_like(gradient)
        state["exp_avg_sq"] = torch.zeros_like(gradient)
    state["step"] += 1
    state["exp_avg"].lerp_(gradient, 1 - betas[0])
    state["exp_avg_sq"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    first, second = (1 - beta ** state["step"] for beta in betas)  # tensors: no host waits for a device
    return (state["exp_avg"] / first) / ((state["exp_avg_sq"] / second).sqrt_() + eps)


class DecoupledAdam(torch.optim.Optimizer):
    """Steps with decoupled weight decay, in a direction that a subclass finds.

    Args:
        params: Groups of parameters.
        lr: Learning rate η.
        weight_decay: Decoupled decay λ.
        betas: Kept shares β₁ and β₂ of the moments.
        eps: ε.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no closure is used
        """One step of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(group["lr"] * self.direction(parameter, parameter.grad, group))

    def direction(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> Tensor:
        """d, in the parameter's shape.

        Args:
            parameter: What moves; its state is kept in ``self.state``.
            gradient: Its gradient.
            group: The settings of its group.
        """
        raise NotImplementedError
