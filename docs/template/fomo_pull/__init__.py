"""A regulariser in 20 lines: the weights are pulled back to where they started."""

from torch import Tensor, nn

import fomo


class Pull(fomo.Method):
    """λ/2 · ‖θ − θ₀‖² over what is trained, λ = ``strength``."""

    group = "regularizer"

    def __init__(self, strength: float = 0.01) -> None:
        if strength < 0:
            raise fomo.FomoError(f"regularizer.strength={strength}: allowed are 0 and above.")
        self.strength = strength

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Keep the base model's parameters."""
        self.start = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss so far and the penalty."""
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and name in self.start:
                loss = loss + self.strength / 2 * (parameter - self.start[name]).square().sum()
        return loss
