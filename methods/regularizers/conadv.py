"""ConAdv: adversarial images from stale weights (Liu et al. 2021, arXiv 2106.00221), for large batches.

    x̂ = clip(x + ε·sign ∇ₓ L(θ_{t−1}; x)),  loss: L(θ_t; x) + λ·L(θ_t; x̂),

with the image tower of one step before, so that on parallel hardware the attack may run beside that step; ``lag=0`` is
the fast gradient sign method at the weights at hand. Here nothing runs beside anything: the budget charges the attack
(the image tower there, and back to the images) and the second loss (there, and back to the weights) alike.

Differs: L is the contrastive loss, with the clean texts on both sides, those of the attack without gradient; the attack
is untargeted and starts at x, not at random; ε is in 255ths of an image's range, taken through its normalisation; norms
keep one set of statistics, which the benchmark fixes. The first step of a task has none before it and takes its own
weights.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fomo
from methods.regularizers.quadratic import Kept, at_least


def attacked(images: Tensor, gradient: Tensor, epsilon: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """x + ε·sign(∇ₓ) within the range of an image; an ``epsilon`` of 0 leaves x as it is, bit for bit.

    Args:
        images: x [b, 3, h, w], normalised.
        gradient: That of the loss, in the shape of x.
        epsilon: ε of each colour [3, 1, 1], normalised.
        lowest: What black is, normalised, [3, 1, 1].
        highest: What white is.
    """
    moved = images + epsilon * gradient.sign()
    return moved.maximum(lowest.minimum(images)).minimum(highest.maximum(images))


class ConAdv(Kept):
    """Adds ``strength`` times the contrastive loss of adversarial images.

    Args:
        strength: λ.
        epsilon: ε in 255ths, from 0.
        lag: 1: the attack is on the weights before the last step; 0: on those at hand.

    Raises:
        FomoError: a setting out of range.
    """

    def __init__(self, strength: float = 1.0, epsilon: float = 9.0, lag: int = 1) -> None:
        at_least("strength", strength, 0)
        at_least("epsilon", epsilon, 0)
        if lag not in (0, 1) or isinstance(lag, bool):
            raise fomo.FomoError(f"regularizer.lag={lag}: allowed are 0 and 1.")
        super().__init__("stale")
        self.strength = strength
        self.epsilon = epsilon
        self.lag = lag

    def begin_run(self, network: nn.Module, seed: int) -> None:
        """Read how images are normalised."""
        tower: Any = network.visual
        self._mean = tuple(map(float, tower.image_mean))
        self._std = tuple(map(float, tower.image_std))

    def begin_task(self, network: nn.Module, task: fomo.Task) -> None:
        """Forget the weights of the task before: a merge may have set others since."""
        self.kept["stale"] = {}

    def loss(self, network: nn.Module, batch: fomo.Batch, loss: Tensor) -> Tensor:
        """The loss so far, with λ·L(x̂) added."""
        assert batch.features is not None
        tower: Any = network.visual
        _, texts, scale = batch.features
        adversarial = self._adversarial(tower, batch, texts.detach(), scale.detach())
        images = fomo.gathered(F.normalize(tower(adversarial), dim=-1), batch.num_rows)
        if self.lag:
            self.kept["stale"] = {n: p.detach().clone() for n, p in tower.named_parameters() if p.requires_grad}
        return loss + self.strength * fomo.symmetric_loss(fomo.Features(images, texts, scale))

    def _adversarial(self, tower: nn.Module, batch: fomo.Batch, texts: Tensor, scale: Tensor) -> Tensor:
        """x̂ of the rows at hand; only the sign of the gradient counts, however many processes add up theirs."""
        weights: Mapping[str, Tensor] = {name: p.detach() for name, p in tower.named_parameters()} | self.kept["stale"]
        images = batch.images.detach().clone().requires_grad_()
        features = F.normalize(torch.func.functional_call(tower, dict(weights), (images,)), dim=-1)
        every = fomo.gathered(features, batch.num_rows)
        loss = fomo.symmetric_loss(fomo.Features(every, texts, scale))
        (gradient,) = torch.autograd.grad(loss, images)
        mean, std = (images.new_tensor(each)[:, None, None] for each in (self._mean, self._std))
        return attacked(batch.images, gradient, self.epsilon / 255 / std, -mean / std, (1 - mean) / std)
