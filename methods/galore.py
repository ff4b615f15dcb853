"""GaLore: Adam in a low-rank subspace of the gradient (Zhao et al. 2024, arXiv 2403.03507, algorithm 2).

Every ``update_proj_gap`` steps the SVD G = U S Vᵀ of a matrix's gradient G [m, n] gives the projector P = U[:, :r] if
m ≤ n, else V[:, :r]. Adam's moments live on R = PᵀG [r, n] (or G P [m, r]) and are kept when P changes; the step is
W ← W − η·(α·P N + λW), N = M̂/(√V̂ + ε), α = ``scale``, with AdamW's decoupled decay λ.

Differs from the paper: a singular vector's free sign is set so that its largest entry is positive, since moments that
outlive a projector would else depend on the SVD's implementation; convolutions are taken as [out, in·h·w]; vectors,
scalars and matrices whose smaller side is not above the rank, which would save nothing, take a plain AdamW step.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

import fomo
from methods.adam import adam_direction


def is_projected(parameter: Tensor, rank: int) -> bool:
    """Whether a parameter is a matrix, or taken as one, whose smaller side is above ``rank``."""
    return parameter.ndim >= 2 and min(parameter.shape[0], parameter.shape[1:].numel()) > rank


def projector(gradient: Tensor, rank: int) -> Tensor:
    """P [min(m, n), rank]: the leading singular vectors of the shorter side of ``gradient`` [m, n]."""
    left, _, right = torch.linalg.svd(gradient.float(), full_matrices=False)
    vectors = (left if gradient.shape[0] <= gradient.shape[1] else right.T)[:, :rank]
    largest = vectors.abs().argmax(dim=0, keepdim=True)
    return (vectors * vectors.gather(0, largest).sign()).to(gradient.dtype).contiguous()


def down(gradient: Tensor, basis: Tensor) -> Tensor:
    """R, the gradient G [m, n] in the subspace of the basis P: PᵀG [r, n] if m ≤ n, else G P [m, r]."""
    return basis.T @ gradient if gradient.shape[0] <= gradient.shape[1] else gradient @ basis


def up(low: Tensor, basis: Tensor, shape: torch.Size) -> Tensor:
    """A step in the subspace of the basis P, taken back to ``shape`` [m, n]: P N if m ≤ n, else N Pᵀ."""
    return basis @ low if shape[0] <= shape[1] else low @ basis.T


class GaLore(fomo.PeriodicOptimizer):
    """Adam whose moments of a matrix live in a subspace of ``rank`` dimensions.

    Args:
        params: parameters or groups of them, as torch's optimizers take them.
        lr: learning rate η.
        weight_decay: decoupled decay λ: each step multiplies by 1 − η·λ.
        betas: decay of the first and of the second moment.
        eps: ε, added to the root of the second moment.
        rank: r, dimensions of a matrix's subspace.
        update_proj_gap: steps from one singular value decomposition of the gradient to the next.
        scale: α, factor of the steps that are made in a subspace.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        rank: int = 16,
        update_proj_gap: int = 200,
        scale: float = 0.25,
    ) -> None:
        self.refresh_every = update_proj_gap
        own = {"rank": rank, "update_proj_gap": update_proj_gap, "scale": scale, "num_steps": 0}
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps, **own})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("GaLore takes no closure")
        for group in self.param_groups:
            changes = group["num_steps"] % group["update_proj_gap"] == 0
            group["num_steps"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    direction = self._direction(parameter, group, changes).view(parameter.shape)
                    parameter.add_(fomo.part_of(direction, parameter), alpha=-group["lr"])

    def _direction(self, parameter: Tensor, group: dict[str, Any], changes: bool) -> Tensor:
        gradient = parameter.grad
        state = self.state[parameter]
        assert gradient is not None
        if not is_projected(parameter, group["rank"]):
            return adam_direction(gradient, state, group["betas"], group["eps"])
        gradient = fomo.whole(gradient).flatten(1)
        if changes or "projector" not in state:
            state["projector"] = projector(gradient, group["rank"])
        low = adam_direction(down(gradient, state["projector"]), state, group["betas"], group["eps"])
        return up(low, state["projector"], gradient.shape).mul_(group["scale"])
