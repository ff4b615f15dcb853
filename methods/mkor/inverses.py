"""The arithmetic of MKOR (``methods/mkor/__init__.py``), and the means of what layers take in."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

import fomo


def exact(inverse: Tensor, vector: Tensor, decay: float) -> Tensor:
    """(γL + (1 − γ)·vvᵀ)⁻¹ [d, d] of L⁻¹ [d, d], v [d] and γ, by Sherman and Morrison."""
    moved = inverse @ vector[:, None]
    reach = (vector[:, None] * moved).sum()
    return inverse / decay - (1 - decay) / (decay**2 + decay * (1 - decay) * reach) * (moved @ moved.T)


def printed(inverse: Tensor, vector: Tensor, decay: float) -> Tensor:
    """What the paper prints in place of :func:`exact`: γL⁻¹ + (1 − γ)/(γ²(1 + γ(1 − γ)·vᵀL⁻¹v)) · L⁻¹vvᵀL⁻¹."""
    moved = inverse @ vector[:, None]
    reach = (vector[:, None] * moved).sum()
    return inverse * decay + (1 - decay) / (decay**2 * (1 + decay * (1 - decay) * reach)) * (moved @ moved.T)


UPDATES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"exact": exact, "printed": printed}


def stabilised(inverse: Tensor, bound: float, keep: float) -> Tensor:
    """ζL⁻¹ + (1 − ζ)I, ζ ``keep``, where an entry of L⁻¹ [d, d] is above ``bound``; else L⁻¹. Nothing is read."""
    blended = keep * inverse + (1 - keep) * torch.eye(len(inverse), dtype=inverse.dtype, device=inverse.device)
    return torch.where(inverse.abs().max() > bound, blended, inverse)


def preconditioned(gradient: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """L⁻¹·∇W·R⁻¹ [m, n], as long as ∇W."""
    found = left @ gradient @ right
    return found * (gradient.norm() / found.norm().clamp_min(torch.finfo(found.dtype).tiny))


class Inputs:
    """Adds up what a layer takes in passes that have a gradient; listens as a forward pre-hook."""

    def __init__(self, layer: nn.Linear) -> None:
        self.total: Tensor | None = None
        self.num_rows = 0
        self._handle = layer.register_forward_pre_hook(self)

    def __call__(self, layer: nn.Linear, arguments: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled() and layer.weight.requires_grad:
            rows = arguments[0].detach().flatten(0, -2)
            added = rows.sum(0, dtype=layer.weight.dtype)
            self.total = added if self.total is None else self.total + added
            self.num_rows += len(rows)

    def mean(self) -> Tensor | None:
        """ā [n] over the rows of all processes; ``None`` where the layer was not called."""
        if self.total is None:
            return None
        rows = torch.full_like(self.total[:1], self.num_rows)
        total, rows = fomo.averaged([self.total, rows])
        return torch.as_tensor(total / rows)

    def leave(self) -> None:
        """Listen no more."""
        self._handle.remove()
