"""A regulariser: the weights are pulled back to where they started."""

import fomo


class Pull(fomo.Method):
    """Adds λ/2 · ‖θ − θ₀‖² over what is trained, λ = ``strength``."""

    def __init__(self, strength: float = 0.01):
        self.strength = strength

    def begin_run(self, network, seed):
        """Keep θ₀."""
        self.start = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    def loss(self, network, batch, loss):
        """Return the loss so far with the penalty added."""
        for name, parameter in network.named_parameters():
            if parameter.requires_grad and name in self.start:
                loss = loss + self.strength / 2 * (parameter - self.start[name]).square().sum()
        return loss
